/* SPDX-License-Identifier: GPL-3.0-or-later
 * Weights [all,k] in the format FORMAT, a number of enum mr_element, lying as src/rt/weights.c says: panels of PANEL
 * rows, the last one lower; k is a multiple of 32 for the quantised ones. */
#ifndef FORMAT
#define FORMAT 0
#endif
#define F32 0
#define F16 2
#define BF16 3
#define Q8_0 4
#define Q5_1 5
#define Q5_0 6
#define Q4_1 7
#define Q4_0 8

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

#define PANEL (LANES == 1 ? VEC : LANES)
#define QUANTISED (FORMAT >= Q8_0)
#define BLOCK 32

/* 16-bit fields and bytes of digits of a block, bytes of a row, neighbours that stay together */
#if FORMAT == Q8_0
#define HALVES 1
#define DIGITS 32
#else
#define HALVES (FORMAT == Q5_1 ? 4 : FORMAT == Q5_0 ? 3 : FORMAT == Q4_1 ? 2 : 1)
#define DIGITS 16
#endif
#define HAS_MINIMUM (FORMAT == Q5_1 || FORMAT == Q4_1)
#define HAS_FIFTH (FORMAT == Q5_1 || FORMAT == Q5_0)
#define FIFTH (HAS_MINIMUM ? 2 : 1) /* the fifth bits' place among the 16-bit fields */
#define BLOCK_BYTES (2 * HALVES + DIGITS)
#define ROW_BYTES(k) (QUANTISED ? (k) / BLOCK * BLOCK_BYTES : FORMAT == F32 ? 4 * (k) : 2 * (k))
#define TOGETHER (LANES == 1 ? 1 : QUANTISED ? 4 : 2)
#define ZERO_DIGIT (FORMAT == Q5_0 ? -16.0f : -8.0f) /* without a minimum: what the smallest digit stands for */

INLINE float half_at(global const uchar *p)
{
#if FORMAT == BF16
    return as_float((uint) * (global const ushort *)p << 16);
#else
    return vload_half(0, (global const half *)p);
#endif
}

/* The byte of digits number i of row r of a block of h rows */
INLINE int digit_place(int h, int r, int i)
{
    return i / TOGETHER * TOGETHER * h + r * TOGETHER + i % TOGETHER;
}

/* Element p of row r in a panel of h rows */
INLINE float weight_in_panel(global const uchar *panel, int h, int k, int r, int p)
{
#if FORMAT == F32
    return ((global const float *)panel)[r * k + p];
#elif !QUANTISED
    int together = p < k / TOGETHER * TOGETHER ? TOGETHER : 1;
    return half_at(panel + 2 * (p / together * together * h + r * together + p % together));
#else
    global const uchar *block = panel + p / BLOCK * h * BLOCK_BYTES, *digits = block + 2 * HALVES * h;
    float d = half_at(block + 2 * r);
    int i = p % BLOCK;
#if FORMAT == Q8_0
    return d * (float)as_char(digits[digit_place(h, r, i)]);
#else
    int q = digits[digit_place(h, r, i % DIGITS)] >> (i / DIGITS * 4) & 15;
#if HAS_FIFTH
    int fifths = ((global const ushort *)block)[(FIFTH + i / DIGITS) * h + r];
    q |= (fifths >> i % DIGITS & 1) << 4;
#endif
    return fma((float)q, d, HAS_MINIMUM ? half_at(block + 2 * (h + r)) : ZERO_DIGIT * d);
#endif
#endif
}

/* Element p of row `row` of all */
INLINE float weight_at(global const uchar *w, int all, int k, int row, int p)
{
    int first = row / PANEL * PANEL;
    return weight_in_panel(w + (ulong)first * (ulong)ROW_BYTES(k), min(PANEL, all - first), k, row - first, p);
}

#if LANES == 1
/* ---- a vector of rows ----------------------------------------------------------------------------------- */

#if VEC == 16
#define load_halves vload_half16
#define as_charv as_char16
#define convert_floatv convert_float16
#define convert_intv convert_int16
#elif VEC == 8
#define load_halves vload_half8
#define as_charv as_char8
#define convert_floatv convert_float8
#define convert_intv convert_int8
#else
#define load_halves vload_half4
#define as_charv as_char4
#define convert_floatv convert_float4
#define convert_intv convert_int4
#endif

INLINE floatv halves_of(global const uchar *p)
{
#if FORMAT == BF16
    return as_floatv(convert_intv(vloadv(0, (global const ushort *)p)) << 16);
#else
    return load_halves(0, (global const half *)p);
#endif
}

/* What the blocks of a panel's rows share */
struct scales {
    floatv d, m;
    intv low, high; /* fifth bits */
    global const uchar *digits;
};

#if QUANTISED
INLINE struct scales open_block(global const uchar *block, int h)
{
    struct scales s;
    s.digits = block + 2 * HALVES * h;
    s.d = halves_of(block);
    s.m = HAS_MINIMUM ? halves_of(block + 2 * h) : ZERO_DIGIT * s.d;
#if HAS_FIFTH
    s.low = convert_intv(vloadv(0, (global const ushort *)block + FIFTH * h));
    s.high = convert_intv(vloadv(0, (global const ushort *)block + (FIFTH + 1) * h));
#endif
    return s;
}

/* From the digits' byte i of all rows: elements i and i + 16 of the block, or element i */
INLINE floatv low_digit(const struct scales *s, int h, int i)
{
#if FORMAT == Q8_0
    return s->d * convert_floatv(as_charv(vloadv(0, s->digits + i * h)));
#else
    intv q = convert_intv(vloadv(0, s->digits + i * h)) & 15;
#if HAS_FIFTH
    q |= (s->low >> i & 1) << 4;
#endif
    return fma(convert_floatv(q), s->d, s->m);
#endif
}

INLINE floatv high_digit(const struct scales *s, int h, int i)
{
    intv q = convert_intv(vloadv(0, s->digits + i * h)) >> 4;
#if HAS_FIFTH
    q |= (s->high >> i & 1) << 4;
#endif
    return fma(convert_floatv(q), s->d, s->m);
}
#endif
#endif
