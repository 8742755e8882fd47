/* SPDX-License-Identifier: GPL-3.0-or-later
 * Blocks of 32 numbers that share a scale d (and a minimum m), all little-endian:
 *
 *     q4_0  f16 d, 16 bytes                  (q - 8) d
 *     q4_1  f16 d, f16 m, 16 bytes           q d + m
 *     q5_0  f16 d, u32 h, 16 bytes           (q - 16) d
 *     q5_1  f16 d, f16 m, u32 h, 16 bytes    q d + m
 *     q8_0  f16 d, 32 int8                   q d
 *
 * Element j < 16 is the low half of byte j, element 16 + j the high half; bit j of h is element j's fifth
 * bit. */
#include <math.h>
#include <string.h>

#include "io/numbers.h"

enum { N = 32 };

static const struct layout {
    uint8_t bits, minimum, bytes;
} layouts[] = {
    [MR_DTYPE_Q4_0] = {4, 0, 18}, [MR_DTYPE_Q4_1] = {4, 1, 20}, [MR_DTYPE_Q5_0] = {5, 0, 22},
    [MR_DTYPE_Q5_1] = {5, 1, 24}, [MR_DTYPE_Q8_0] = {8, 0, 34},
};

static float load_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return mr_f16_to_f32(h);
}

/* Stores x as a finite half and returns what it holds now. */
static float store_half(float x, uint8_t *p)
{
    x = x > 65504 ? 65504 : x < -65504 ? -65504 : x;
    uint16_t h = mr_f32_to_f16(x);
    memcpy(p, &h, 2);
    return mr_f16_to_f32(h);
}

void mr_dequantise(enum mr_dtype dtype, const uint8_t *from, float *to, size_t blocks)
{
    const struct layout *l = &layouts[dtype];
    for (; blocks; blocks--, from += l->bytes, to += N) {
        const uint8_t *p = from + 2 + 2 * l->minimum;
        float d = load_half(from);
        if (l->bits == 8) {
            for (int j = 0; j < N; j++)
                to[j] = (float)(int8_t)p[j] * d;
            continue;
        }
        float m = l->minimum ? load_half(from + 2) : -d * (float)(1 << (l->bits - 1));
        uint32_t h = 0;
        if (l->bits == 5) {
            memcpy(&h, p, 4);
            p += 4;
        }
        int q[N];
        for (int j = 0; j < N / 2; j++) {
            q[j] = p[j] & 15;
            q[N / 2 + j] = p[j] >> 4;
        }
        for (int j = 0; j < N; j++)
            to[j] = (float)(q[j] | (int)(h >> j & 1) << 4) * d + m;
    }
}

/* The nearest of the steps 0..most to x / d + zero. */
static int step(float x, float inverse, float zero, int most)
{
    float r = x * inverse + zero + 0.5f;
    return r >= (float)most ? most : r > 0 ? (int)r : 0;
}

/* The same as step(), in a form that compilers turn into vector code. Sizes are compared as integers, which needs no
 * order of evaluation. */
static void quantise_8(const float *restrict from, uint8_t *restrict p)
{
    int32_t bits[N], most = 0, q[N];
    float x[N], largest;
    memcpy(bits, from, sizeof bits);
    for (int j = 0; j < N; j++) {
        int32_t size = bits[j] & 0x7fffffff, number = -(size <= 0x7f800000);
        bits[j] &= number;
        size &= number;
        most = size > most ? size : most;
    }
    memcpy(x, bits, sizeof bits);
    memcpy(&largest, &most, 4);
    float d = store_half(largest / 127, p);
    float inverse = d > 0 ? 1 / d : 0;
    for (int j = 0; j < N; j++) {
        float r = x[j] * inverse + 128 + 0.5f;
        r = r > 0 ? r : 0;
        r = r < 255 ? r : 255;
        q[j] = (int)r - 128;
    }
    for (int j = 0; j < N; j++)
        p[2 + j] = (uint8_t)q[j]; /* two's complement */
}

void mr_quantise(enum mr_dtype dtype, const float *from, uint8_t *to, size_t blocks)
{
    const struct layout *l = &layouts[dtype];
    for (; blocks; blocks--, from += N, to += l->bytes) {
        float x[N];
        if (l->bits == 8) {
            quantise_8(from, to);
            continue;
        }
        for (int j = 0; j < N; j++)
            x[j] = isnan(from[j]) ? 0 : from[j];
        float low = x[0], high = x[0];
        for (int j = 1; j < N; j++) {
            low = x[j] < low ? x[j] : low;
            high = x[j] > high ? x[j] : high;
        }
        int most = (1 << l->bits) - 1, half = 1 << (l->bits - 1);
        float m = 0, d, zero = (float)half;
        uint8_t *p = to + 2;
        if (l->minimum) {
            m = store_half(low, p);
            p += 2;
            d = store_half((high - m) / (float)most, to);
            zero = 0;
        } else { /* the extreme of the larger size gets the one step that has no opposite */
            d = store_half((-low > high ? low : high) / (float)-half, to);
        }
        float inverse = d != 0 ? 1 / d : 0;
        uint32_t h = 0;
        uint8_t *nibbles = p + (l->bits == 5 ? 4 : 0);
        memset(nibbles, 0, N / 2);
        for (int j = 0; j < N; j++) {
            int q = step(x[j] - m, inverse, zero, most);
            nibbles[j % (N / 2)] |= (uint8_t)((q & 15) << (j < N / 2 ? 0 : 4));
            h |= (uint32_t)(q >> 4) << j;
        }
        if (l->bits == 5)
            memcpy(p, &h, 4);
    }
}
