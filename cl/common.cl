/* SPDX-License-Identifier: GPL-3.0-or-later
 * Put before every kernel file. From the device come LANES, the work-items that share a row (1 on a CPU: the
 * loops over lanes vanish and a row is one work-item's), and VEC, the floats that it takes at a time. */
#pragma OPENCL FP_CONTRACT ON

#if VEC == 16
typedef float16 floatv;
typedef int16 intv;
#define as_floatv as_float16
#define as_intv as_int16
#define vloadv vload16
#define vstorev vstore16
#elif VEC == 8
typedef float8 floatv;
typedef int8 intv;
#define as_floatv as_float8
#define as_intv as_int8
#define vloadv vload8
#define vstorev vstore8
#else
typedef float4 floatv;
typedef int4 intv;
#define as_floatv as_float4
#define as_intv as_int4
#define vloadv vload4
#define vstorev vstore4
#endif

/* The row of this work-item's group and its place in it: kernels launched with mr_rows. */
#define ROW ((int)get_group_id(0))
#define LANE ((int)get_local_id(0))

/* for (i over this lane's share of 0..n-1), neighbours by neighbouring lanes. */
#define FOR_LANE(i, n) for (int i = LANE; i < (n); i += LANES)

/* Element-wise kernels, launched with mr_items: on a CPU each work-item takes one contiguous block, elsewhere
 * neighbours go to neighbouring work-items. */
#if LANES == 1
#define FOR_ITEMS(i, n)                                                                            \
    for (int i = (int)((long)(n) * (long)get_global_id(0) / (long)get_global_size(0)),             \
             i##_end = (int)((long)(n) * ((long)get_global_id(0) + 1) / (long)get_global_size(0)); \
         i < i##_end; i++)
#else
#define FOR_ITEMS(i, n) for (int i = (int)get_global_id(0); i < (n); i += (int)get_global_size(0))
#endif

/* For kernels whose groups take several rows each: for (row over this group's share of 0..rows-1). */
#define FOR_ROWS(row, rows)                                                                           \
    for (int row = (int)((long)(rows) * (long)get_group_id(0) / (long)get_num_groups(0)),             \
             row##_end = (int)((long)(rows) * ((long)get_group_id(0) + 1) / (long)get_num_groups(0)); \
         row < row##_end; row++)

/* for (i over the starts of this lane's vectors in a row of n floats); the last vector may be partly outside:
 * read and write with load_some(p + i, n - i) and store_some. */
#define FOR_LANE_VECTORS(i, n) for (int i = LANE * VEC; i < (n); i += LANES * VEC)
#define VECTORS(n) (((n) + VEC - 1) / VEC) /* that many cover n floats */

/* A vector of which only the first n floats exist, if n < VEC; `fill` stands for the others. In pieces of 8, 4, 2
 * and 1, which stay in registers: rows seldom fit, and a loop over single floats took most of their time. */
static inline floatv load_or(global const float *p, int n, float fill)
{
    if (n >= VEC)
        return vloadv(0, p);
    if (n <= 0)
        return fill;
    float4 last = fill; /* the first n % 4 of it exist */
    if (n & 2) {
        last.xy = vload2(0, p + (n & ~3));
        if (n & 1)
            last.z = p[n - 1];
    } else if (n & 1) {
        last.x = p[n - 1];
    }
#if VEC == 4
    return last;
#else
    float4 none = fill;
    float8 half_vector = n & 4 ? (float8)(vload4(0, p + (n & ~7)), last) : (float8)(last, none);
#if VEC == 8
    return half_vector;
#else
    return n & 8 ? (float16)(vload8(0, p), half_vector) : (float16)(half_vector, none, none);
#endif
#endif
}

static inline floatv load_some(global const float *p, int n)
{
    return load_or(p, n, 0.0f);
}

static inline void store_some(floatv v, global float *p, int n)
{
    if (n >= VEC) {
        vstorev(v, 0, p);
        return;
    }
    if (n <= 0)
        return;
#if VEC == 16
    float8 eight = v.lo;
    if (n & 8) {
        vstore8(eight, 0, p);
        eight = v.hi;
        p += 8;
    }
#elif VEC == 8
    float8 eight = v;
#endif
#if VEC == 4
    float4 four = v;
#else
    float4 four = eight.lo;
    if (n & 4) {
        vstore4(four, 0, p);
        four = eight.hi;
        p += 4;
    }
#endif
    if (n & 2) {
        vstore2(four.xy, 0, p);
        four.x = four.z;
        p += 2;
    }
    if (n & 1)
        p[0] = four.x;
}

static inline float sum_of_vector(floatv a)
{
#if VEC == 16
    float8 b = a.lo + a.hi;
    float4 c = b.lo + b.hi;
#elif VEC == 8
    float4 c = a.lo + a.hi;
#else
    float4 c = a;
#endif
    return (c.x + c.z) + (c.y + c.w);
}

/* The sum (or the largest) of one number per lane, known to all lanes afterwards; `room` holds LANES floats.
 * Every lane of the group must call it. In a fixed order. */
static inline float row_sum(float a, local float *room)
{
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
    room[LANE] = a;
    barrier(CLK_LOCAL_MEM_FENCE);
    a = 0.0f;
    for (int i = 0; i < LANES; i++)
        a += room[i];
#endif
    return a;
}

static inline float row_max(float a, local float *room)
{
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
    room[LANE] = a;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < LANES; i++)
        a = fmax(a, room[i]);
#endif
    return a;
}

/* This lane's part of the sum of p[0..n-1], and of the squares of p - m; four sums at a time, because an
 * addition waits for the one before it. */
static inline float lane_sum(global const float *p, int n)
{
    floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    int i = LANE * VEC, step = LANES * VEC;
    for (; i + 3 * step + VEC <= n; i += 4 * step) {
        a += vloadv(0, p + i);
        b += vloadv(0, p + i + step);
        c += vloadv(0, p + i + 2 * step);
        d += vloadv(0, p + i + 3 * step);
    }
    for (; i + VEC <= n; i += step)
        a += vloadv(0, p + i);
    if (i < n)
        b += load_some(p + i, n - i);
    return sum_of_vector((a + b) + (c + d));
}

static inline float lane_squares(global const float *p, int n, float m)
{
    floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f, v;
    int i = LANE * VEC, step = LANES * VEC;
    for (; i + 3 * step + VEC <= n; i += 4 * step) {
        v = vloadv(0, p + i) - m;
        a += v * v;
        v = vloadv(0, p + i + step) - m;
        b += v * v;
        v = vloadv(0, p + i + 2 * step) - m;
        c += v * v;
        v = vloadv(0, p + i + 3 * step) - m;
        d += v * v;
    }
    for (; i + VEC <= n; i += step) {
        v = vloadv(0, p + i) - m;
        a += v * v;
    }
    if (i < n) {
        v = load_or(p + i, n - i, m) - m;
        b += v * v;
    }
    return sum_of_vector((a + b) + (c + d));
}

/* e^x with a relative error below 3e-7; 0 below -88, e^88 above 88. On a CPU it is faster than exp of a vector:
 * 2^n * e^r with n = round(x / ln 2), e^r by the polynomial of least relative error on |r| <= ln 2 / 2. */
static inline floatv exp_of(floatv x)
{
#if LANES == 1
    const float shift = 12582912.0f;            /* 1.5 * 2^23: what is added to it is rounded to a whole number */
    floatv a = x < -88.0f ? (floatv)-88.0f : x; /* in this form what is no number stays so */
    a = a > 88.0f ? (floatv)88.0f : a;
    floatv t = a * 1.44269504f + shift, n = t - shift;
    floatv r = a - n * 0.693145752f - n * 1.42860677e-6f;
    floatv p = 0.0083125201f * r + 0.0418901568f;
    p = p * r + 0.1666711465f;
    p = p * r + 0.499992315f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * as_floatv((as_intv(t) << 23) + 0x3F800000); /* n = -127: 0 */
#else
    return exp(x);
#endif
}

static inline floatv sigmoid_of(floatv x)
{
    return 1.0f / (1.0f + exp_of(-x));
}
