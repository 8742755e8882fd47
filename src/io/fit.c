/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a number format cannot keep of floats. */
#include <float.h>
#include <math.h>

#include "io/numbers.h"

#define F16_LARGEST 65504.0f
#define F16_BEYOND 65520.0f   /* from here on f16 rounds to infinity */
#define F16_VANISHES 0x1p-25f /* up to here to 0 */
#define BF16_BEYOND 0x1.ffp127f

float mr_dtype_largest(enum mr_dtype dtype)
{
    return dtype == MR_DTYPE_F16 ? F16_LARGEST : dtype == MR_DTYPE_BF16 ? 0x1.fep127f : FLT_MAX;
}

static void fit_plain(const float *x, size_t count, float beyond, float vanishes, struct mr_fit *fit)
{
    size_t nonzero = 0, large = 0, small = 0;
    float worst = 0;
    for (size_t i = 0; i < count; i++) {
        float a = fabsf(x[i]);
        nonzero += a > 0;
        large += a >= beyond && a <= FLT_MAX;
        small += a > 0 && a <= vanishes;
        worst = a <= FLT_MAX && a > worst ? a : worst;
    }
    fit->nonzero += nonzero;
    fit->beyond += large;
    fit->vanished += small;
    fit->worst = large && worst > fit->worst ? worst : fit->worst;
}

/* A block's scale and minimum are f16; numbers that are not finite have no place in it at all. */
static void fit_block(enum mr_dtype dtype, const float *x, struct mr_fit *fit)
{
    float low = x[0], high = x[0];
    size_t nonzero = 0, odd = 0;
    for (int i = 0; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        nonzero += x[i] != 0;
        odd += !isfinite(x[i]);
    }
    bool minimum = dtype == MR_DTYPE_Q4_1 || dtype == MR_DTYPE_Q5_1,
         five = dtype == MR_DTYPE_Q5_0 || dtype == MR_DTYPE_Q5_1;
    float most = fmaxf(-low, high), steps = dtype == MR_DTYPE_Q8_0 ? 127 : minimum ? (five ? 31 : 15) : five ? 16 : 8;
    float scale = minimum ? (high - low) / steps : most / steps;
    fit->nonzero += nonzero;
    if (odd || scale >= F16_BEYOND || (minimum && fabsf(low) >= F16_BEYOND)) {
        fit->beyond += odd ? odd : 1;
        fit->worst = odd ? INFINITY : fmaxf(fit->worst, most);
    } else if (nonzero && scale <= F16_VANISHES && (!minimum || fabsf(low) <= F16_VANISHES)) {
        fit->vanished += nonzero;
    }
}

void mr_fit_f32(enum mr_dtype dtype, const float *from, size_t count, struct mr_fit *fit)
{
    if (dtype == MR_DTYPE_F16)
        fit_plain(from, count, F16_BEYOND, F16_VANISHES, fit);
    else if (dtype == MR_DTYPE_BF16)
        fit_plain(from, count, BF16_BEYOND, 0, fit);
    else if (mr_dtype_block(dtype) == 32)
        for (size_t i = 0; i + 32 <= count; i += 32)
            fit_block(dtype, from + i, fit);
}
