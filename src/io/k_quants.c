/* SPDX-License-Identifier: GPL-3.0-or-later
 * llama.cpp's blocks of 256 numbers, which are read only. Sub-blocks of 16 or 32 numbers have small integer scales
 * (and minima), on which the block's scale d (and e for minima) works. q is an element's integer, s and m those of its
 * sub-block, i the element, j = i mod 32:
 *
 *     q2_k  16 bytes (s | m << 4), 64 of 2 bits, f16 d, f16 e           d s q - e m           16 numbers a sub-block
 *     q3_k  32 of 1 bit, 64 of 2 bits, 12 bytes of s, f16 d             d (s - 32) (q - 4)    16
 *     q4_k  f16 d, f16 e, 12 bytes of s and m, 128 of 4 bits            d s q - e m           32
 *     q5_k  f16 d, f16 e, 12 bytes of s and m, 32 of 1 bit, 128 of 4    d s q - e m           32
 *     q6_k  128 of 4 bits, 64 of 2 bits, 16 int8 s, f16 d               d s (q - 32)          16
 *     q8_k  f32 d, 256 int8 q, 16 int16 sums                            d q                   256
 *
 * Bits of several elements in a byte are 32 elements apart. */
#include <string.h>

#include "io/numbers.h"

enum { N = 256 };

static float half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return mr_f16_to_f32(h);
}

static void q2_k(const uint8_t *p, float *to)
{
    const uint8_t *q = p + 16;
    float d = half(p + 80), e = half(p + 82);
    for (int i = 0; i < N; i++) {
        float scale = d * (float)(p[i / 16] & 15), minimum = e * (float)(p[i / 16] >> 4);
        to[i] = scale * (float)(q[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3) - minimum;
    }
}

static void q3_k(const uint8_t *p, float *to)
{
    const uint8_t *high = p, *q = p + 32, *s = p + 96;
    float d = half(p + 108);
    for (int i = 0; i < N; i++) {
        int k = i / 16, low = k < 8 ? s[k] & 15 : s[k - 8] >> 4, scale = low | (s[8 + k % 4] >> 2 * (k / 4) & 3) << 4;
        int value = (q[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3) | (high[i % 32] >> i / 32 & 1) << 2;
        to[i] = d * (float)(scale - 32) * (float)(value - 4);
    }
}

/* The k-th of eight scales and minima of 6 bits in 12 bytes. */
static void six_bits(const uint8_t *s, int k, int *scale, int *minimum)
{
    *scale = k < 4 ? s[k] & 63 : (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
    *minimum = k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | s[k] >> 6 << 4;
}

/* high: a fifth bit of each element, or NULL. */
static void q4_k(const uint8_t *p, const uint8_t *high, const uint8_t *q, float *to)
{
    float d = half(p), e = half(p + 2);
    for (int k = 0; k < 8; k++) {
        int s, m;
        six_bits(p + 4, k, &s, &m);
        float scale = d * (float)s, minimum = e * (float)m;
        for (int j = 0; j < 32; j++) {
            int value = q[32 * (k / 2) + j] >> 4 * (k % 2) & 15;
            value |= high ? (high[j] >> k & 1) << 4 : 0;
            to[32 * k + j] = scale * (float)value - minimum;
        }
    }
}

static void q6_k(const uint8_t *p, float *to)
{
    const uint8_t *high = p + 128, *s = p + 192;
    float d = half(p + 208);
    for (int i = 0; i < N; i++) {
        int part = i / 32 % 4, low = p[64 * (i / 128) + i % 64] >> 4 * (part / 2) & 15;
        int value = low | (high[32 * (i / 128) + i % 32] >> 2 * part & 3) << 4;
        to[i] = d * (float)(int8_t)s[i / 16] * (float)(value - 32);
    }
}

static void q8_k(const uint8_t *p, float *to)
{
    float d;
    memcpy(&d, p, 4);
    for (int i = 0; i < N; i++)
        to[i] = d * (float)(int8_t)p[4 + i];
}

void mr_dequantise_k(enum mr_dtype dtype, const uint8_t *from, float *to, size_t blocks)
{
    size_t bytes = mr_dtype_block_bytes(dtype);
    for (; blocks; blocks--, from += bytes, to += N) {
        switch (dtype) {
        case MR_DTYPE_Q2_K:
            q2_k(from, to);
            break;
        case MR_DTYPE_Q3_K:
            q3_k(from, to);
            break;
        case MR_DTYPE_Q4_K:
            q4_k(from, NULL, from + 16, to);
            break;
        case MR_DTYPE_Q5_K:
            q4_k(from, from + 16, from + 48, to);
            break;
        case MR_DTYPE_Q6_K:
            q6_k(from, to);
            break;
        default:
            q8_k(from, to);
        }
    }
}
