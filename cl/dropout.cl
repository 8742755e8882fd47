/* SPDX-License-Identifier: GPL-3.0-or-later
 * Dropout with masks from a counter-based generator, Philox 4x32-10 as src/base/philox.c computes it: a block
 * of four words for four neighbouring elements; element i is kept where its word is at least `threshold`. */

#if LANES == 1 /* 16 blocks at a time */
typedef uint16 words;
#define BLOCKS 16
#else
typedef uint words;
#define BLOCKS 1
#endif
#define UNIT (4 * BLOCKS) /* elements */

/* The halves of the products with a constant. On a CPU mul_hi of a vector is taken apart; products of every
 * second word as 64-bit numbers are one instruction each. */
static inline void multiply(words a, uint by, words *high, words *low)
{
#if LANES == 1
    ulong8 pairs = as_ulong8(a), even = (pairs & 0xFFFFFFFFul) * by, odd = (pairs >> 32) * by;
    *high = as_uint16(even >> 32 | (odd & 0xFFFFFFFF00000000ul));
    *low = as_uint16((even & 0xFFFFFFFFul) | odd << 32);
#else
    *high = mul_hi(a, by);
    *low = a * by;
#endif
}

/* w[k] = word k of each block in c0; `high` is the counter's second word, the same for all. */
static inline void philox(words c0, uint high, ulong step, ulong seed, words *w)
{
    words c1 = high, c2 = (uint)step, c3 = (uint)(step >> 32);
    words a_high, a_low, b_high, b_low;
    uint key0 = (uint)seed, key1 = (uint)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        multiply(c0, 0xD2511F53u, &a_high, &a_low);
        multiply(c2, 0xCD9E8D57u, &b_high, &b_low);
        c0 = b_high ^ c1 ^ key0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ key1;
        c3 = a_low;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    w[0] = c0;
    w[1] = c1;
    w[2] = c2;
    w[3] = c3;
}

/* a0 b0 a1 b1 ... of the first or the last halves; PAIRS keeps pairs together. */
#define LOW(a, b) \
    (uint16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define HIGH(a, b) \
    (uint16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf)
#define LOW_PAIRS(a, b) (uint16)(a.s01, b.s01, a.s23, b.s23, a.s45, b.s45, a.s67, b.s67)
#define HIGH_PAIRS(a, b) (uint16)(a.s89, b.s89, a.sab, b.sab, a.scd, b.scd, a.sef, b.sef)

/* factor[0..UNIT-1] of the elements from 4 * block on: scale where kept, else 0. */
static inline void factors(uint block, uint high, ulong step, ulong seed, uint threshold, float scale, float *factor)
{
    words w[4];
#if LANES == 1
    philox(block + (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), high, step, seed, w);
    uint16 a = LOW(w[0], w[1]), b = LOW(w[2], w[3]), c = HIGH(w[0], w[1]), d = HIGH(w[2], w[3]);
    vstore16(LOW_PAIRS(a, b) >= threshold ? scale : (float16)0.0f, 0, factor);
    vstore16(HIGH_PAIRS(a, b) >= threshold ? scale : (float16)0.0f, 1, factor);
    vstore16(LOW_PAIRS(c, d) >= threshold ? scale : (float16)0.0f, 2, factor);
    vstore16(HIGH_PAIRS(c, d) >= threshold ? scale : (float16)0.0f, 3, factor);
#else
    philox(block, high, step, seed, w);
    for (int k = 0; k < 4; k++)
        factor[k] = w[k] >= threshold ? scale : 0.0f;
#endif
}

/* Bit i of bits[word] is 1 where element 32 * word + i is kept. A work-item makes the words of a unit, or one. */
kernel void dropout_bits(global uint *bits, int words, uint high, ulong step, ulong seed, uint threshold)
{
    enum { PER_ITEM = UNIT > 32 ? UNIT / 32 : 1, UNITS = UNIT < 32 ? 32 / UNIT : 1 };
    FOR_ITEMS(item, (words + PER_ITEM - 1) / PER_ITEM) {
        float factor[UNIT * UNITS];
        for (int i = 0; i < UNITS; i++)
            factors((uint)(item * UNITS + i) * BLOCKS, high, step, seed, threshold, 1.0f, factor + i * UNIT);
        for (int j = 0; j < PER_ITEM && item * PER_ITEM + j < words; j++) {
            uint word = 0;
            for (int i = 0; i < 32; i++)
                word |= (factor[32 * j + i] != 0.0f ? 1u : 0u) << i;
            bits[item * PER_ITEM + j] = word;
        }
    }
}

/* y = x * mask * scale, n floats; y may be x. */
kernel void dropout(global const float *x, global float *y, int n, uint high, ulong step, ulong seed, uint threshold,
                    float scale)
{
    FOR_ITEMS(unit, (n + UNIT - 1) / UNIT) {
        float factor[UNIT];
        factors((uint)unit * BLOCKS, high, step, seed, threshold, scale, factor);
        int start = unit * UNIT;
#if LANES == 1
        for (int i = 0; i < UNIT && start + i < n; i += VEC) {
            int left = n - start - i;
            store_some(load_some(x + start + i, left) * vloadv(0, factor + i), y + start + i, left);
        }
#else
        for (int k = 0; k < 4 && start + k < n; k++)
            y[start + k] = x[start + k] * factor[k];
#endif
    }
}
