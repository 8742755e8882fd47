/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a number format cannot keep of floats. */
#include <float.h>
#include <math.h>
#include <string.h>

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

static void note_scale(float scale, float most, size_t nonzero, struct mr_fit *fit)
{
    fit->nonzero += nonzero;
    if (scale >= F16_BEYOND) {
        fit->beyond++;
        fit->worst = fmaxf(fit->worst, most);
    } else if (nonzero && scale <= F16_VANISHES) {
        fit->vanished += nonzero;
    }
}

/* A block of finite numbers in a format without minimum: only the largest size counts, which among the bits is found by
 * vector code. False: not all are finite. */
static bool fit_plain_block(const float *x, float steps, struct mr_fit *fit)
{
    int32_t bits[32], largest = 0, zeros = 0;
    float most;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < 32; i++) {
        int32_t size = bits[i] & 0x7fffffff;
        largest = size > largest ? size : largest;
        zeros += size == 0;
    }
    memcpy(&most, &largest, 4);
    if (!isfinite(most))
        return false;
    note_scale(most / steps, most, (size_t)(32 - zeros), fit);
    return true;
}

/* A block's scale and minimum are f16; numbers that are not finite have no place in it at all. */
static void fit_block(enum mr_dtype dtype, const float *x, struct mr_fit *fit)
{
    if (dtype == MR_DTYPE_Q8_0 || dtype == MR_DTYPE_Q5_0 || dtype == MR_DTYPE_Q4_0)
        if (fit_plain_block(x, dtype == MR_DTYPE_Q8_0 ? 127 : dtype == MR_DTYPE_Q5_0 ? 16 : 8, fit))
            return;
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
