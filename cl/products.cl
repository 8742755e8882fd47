/* SPDX-License-Identifier: GPL-3.0-or-later
 * Products of matrices with few vectors, several in one launch: y_r = act(W x_r + bias) * gate_r + add_r, r < rows.
 * W [n,k] is in the format FORMAT (unpack.cl), or floats stored transposed, (k,n). bias, gate and add may be NULL;
 * gate and add may be y. Every number of W is read once for ROWS vectors, and a sum's order of additions depends on k
 * alone, not on the number of vectors.
 *
 * On a CPU a work-item takes some panels of VEC outputs. Elsewhere a group of PARTS times LANES work-items does: a
 * lane has an output, and the parts share k; of a matrix of rows of floats LANES share a row. */
#ifndef ROWS
#define ROWS 1
#define COUNT 1 /* of products in the launch: 1, 2, 4 or 8; one kernel a program, for compilers take long */
#endif
#include "activation.cl"
#include "dot.cl"
#include "unpack.cl"

struct product {
    global const uchar *w;
    global const float *x, *bias, *gate, *add;
    global float *y;
    int n, k, transposed, activation;
    int ldx, ldy, ld_gate, ld_add;
    int panels; /* of a group */
    int all;    /* rows of W's tensor from its first one on */
};

/* The fields of a product's int16, as src/rt/products.c fills it */
INLINE struct product product_of(global const uchar *w, global const float *x, global const float *bias,
                                 global const float *gate, global const float *add, global float *y, int16 s)
{
    struct product t = {.n = s.s0,
                        .k = s.s1,
                        .all = s.s2 - s.s3,
                        .transposed = s.sf & 1,
                        .activation = s.sf >> 1,
                        .ldx = s.s4,
                        .ldy = s.s5,
                        .ld_gate = s.s6,
                        .ld_add = s.s7,
                        .panels = s.sc};
    t.w = w + (ulong)s.s3 * (ulong)ROW_BYTES(t.k);
    t.x = x + s.s8;
    t.bias = bias;
    t.y = y + s.s9;
    t.gate = gate ? gate + s.sa : gate;
    t.add = add ? add + s.sb : add;
    return t;
}

#if LANES == 1
#define WIDE (ROWS <= 2 ? 4 : ROWS <= 4 ? 4 : ROWS <= 8 ? 2 : 1) /* panels at a time */

/* sum[v * ROWS + r]: the vector of outputs of panel v of `wide` (a constant), which lie `apart` bytes apart and have
 * h rows */
INLINE void weigh_panels(global const uchar *w, int apart, const int wide, int h, int k,
                         global const float *const *with, floatv *sum)
{
#if QUANTISED
    for (int b = 0; b < k; b += BLOCK, w += BLOCK_BYTES * h) {
        struct scales scales[WIDE];
#pragma unroll
        for (int v = 0; v < WIDE; v++)
            if (v < wide)
                scales[v] = open_block(w + v * apart, h);
#pragma unroll 4
        for (int i = 0; i < DIGITS; i++) {
#pragma unroll
            for (int v = 0; v < WIDE; v++)
                if (v < wide) {
                    floatv ws = low_digit(&scales[v], h, i);
#pragma unroll
                    for (int r = 0; r < ROWS; r++)
                        sum[v * ROWS + r] = fma(ws, (floatv)(with[r][b + i]), sum[v * ROWS + r]);
                }
#if DIGITS < BLOCK
#pragma unroll
            for (int v = 0; v < WIDE; v++)
                if (v < wide) {
                    floatv ws = high_digit(&scales[v], h, i);
#pragma unroll
                    for (int r = 0; r < ROWS; r++)
                        sum[v * ROWS + r] = fma(ws, (floatv)(with[r][b + DIGITS + i]), sum[v * ROWS + r]);
                }
#endif
        }
    }
#elif FORMAT != F32
#pragma unroll 4
    for (int p = 0; p < k; p++, w += 2 * h) {
#pragma unroll
        for (int v = 0; v < WIDE; v++)
            if (v < wide) {
                floatv ws = halves_of(w + v * apart);
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sum[v * ROWS + r] = fma(ws, (floatv)(with[r][p]), sum[v * ROWS + r]);
            }
    }
#endif
}

/* The same for floats stored transposed, rows of n: `wide` vectors, or `left` of one vector's outputs. */
INLINE void weigh_columns(global const float *w, int n, const int wide, int left, int k,
                          global const float *const *with, floatv *sum)
{
#pragma unroll 4
    for (int p = 0; p < k; p++, w += n) {
#pragma unroll
        for (int v = 0; v < WIDE; v++)
            if (v < wide) {
                floatv ws = left < VEC ? load_some(w, left) : vloadv(v, w);
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sum[v * ROWS + r] = fma(ws, (floatv)(with[r][p]), sum[v * ROWS + r]);
            }
    }
}

/* A panel of rows of floats: output after output. */
INLINE void weigh_rows(global const float *w, int k, int outputs, global const float *const *with, floatv *sum)
{
    float out[ROWS * VEC];
    for (int j = 0; j < VEC; j += SHARE) {
        global const float *from[SHARE];
        float total[SHARE * ROWS];
#pragma unroll
        for (int s = 0; s < SHARE; s++)
            from[s] = w + min(j + s, outputs - 1) * k;
        dots(from, with, k, SHARE * k, 0, total);
#pragma unroll
        for (int s = 0; s < SHARE; s++)
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                out[r * VEC + j + s] = total[s * ROWS + r];
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        sum[r] = vloadv(r, out);
}

INLINE void finish(const struct product *t, int r, int j, floatv v)
{
    int left = t->n - j;
    if (t->bias)
        v += load_some(t->bias + j, left);
    v = activate(v, t->activation);
    if (t->gate)
        v *= load_some(t->gate + r * t->ld_gate + j, left);
    if (t->add)
        v += load_some(t->add + r * t->ld_add + j, left);
    store_some(v, t->y + r * t->ldy + j, left);
}

/* `wide` (a constant) panels from output j on, with vectors r0 and following */
INLINE void take(const struct product *t, const int wide, int j, int r0, int rows)
{
    global const float *with[ROWS];
    floatv sum[WIDE * ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        with[r] = t->x + min(r0 + r, rows - 1) * t->ldx;
#pragma unroll
    for (int i = 0; i < WIDE * ROWS; i++)
        sum[i] = 0.0f;
    if (t->transposed)
        weigh_columns((global const float *)t->w + j, t->n, wide, wide > 1 ? VEC : t->n - j, t->k, with, sum);
    else {
#if FORMAT == F32
        for (int v = 0; v < wide; v++)
            weigh_rows((global const float *)t->w + (j + v * VEC) * t->k, t->k, min(VEC, t->n - j - v * VEC), with,
                       sum + v * ROWS);
#else
        int row = ROW_BYTES(t->k);
        weigh_panels(t->w + (ulong)j * (ulong)row, VEC * row, wide, wide > 1 ? VEC : min(VEC, t->all - j), t->k, with,
                     sum);
#endif
    }
    float out[WIDE * ROWS * VEC]; /* sums must stay in registers, and one epilogue is code enough */
#pragma unroll
    for (int i = 0; i < WIDE * ROWS; i++)
        if (i < wide * ROWS)
            vstorev(sum[i], i, out);
#pragma unroll 1
    for (int i = 0; i < wide * ROWS; i++)
        if (r0 + i % ROWS < rows)
            finish(t, r0 + i % ROWS, j + i / ROWS * VEC, vloadv(i, out));
}

INLINE void run(const struct product *t, int rows, int group)
{
    int j = group * t->panels * VEC, end = min(t->n, j + t->panels * VEC);
#if WIDE > 1 && FORMAT != F32
    for (; j + WIDE * VEC <= end; j += WIDE * VEC)
        for (int r = 0; r < rows; r += ROWS)
            take(t, WIDE, j, r, rows);
#endif
    for (; j < end; j += VEC)
        for (int r = 0; r < rows; r += ROWS)
            take(t, 1, j, r, rows);
}

#else /* work-items share */
#ifndef PARTS
#define PARTS 8
#endif
#define SIZE (LANES * PARTS)

INLINE void finish(const struct product *t, int r, int j, float v)
{
    if (t->bias)
        v += t->bias[j];
    if (t->activation != NO_ACTIVATION)
        v = activate((floatv)(v), t->activation).x;
    if (t->gate)
        v *= t->gate[r * t->ld_gate + j];
    if (t->add)
        v += t->add[r * t->ld_add + j];
    t->y[r * t->ldy + j] = v;
}

/* This part's share of the sums of lane's output, of the panel of h rows that begins at w */
INLINE void weigh_panel(global const uchar *w, int h, int k, global const float *const *with, int lane, int part,
                        float *sum)
{
    for (int b = part * BLOCK; b < k; b += PARTS * BLOCK) {
        int end = min(k, b + BLOCK);
        for (int p = b; p < end; p++) {
            float ws = weight_in_panel(w, h, k, lane, p);
            for (int r = 0; r < ROWS; r++)
                sum[r] = fma(ws, with[r][p], sum[r]);
        }
    }
}

INLINE void run(const struct product *t, int rows, int group, local float *room)
{
    int item = (int)get_local_id(0), lane = item % LANES, part = item / LANES;
    int first = group * t->panels * PANEL, end = min(t->n, first + t->panels * PANEL);
    int by_rows = FORMAT == F32 && !t->transposed;
    int step = by_rows ? PARTS * SHARE : PANEL; /* outputs at a time */
    for (int j = first; j < end; j += step)
        for (int r0 = 0; r0 < rows; r0 += ROWS) {
            global const float *with[ROWS];
            float sum[SHARE * ROWS];
            for (int r = 0; r < ROWS; r++)
                with[r] = t->x + min(r0 + r, rows - 1) * t->ldx;
            for (int i = 0; i < SHARE * ROWS; i++)
                sum[i] = 0.0f;
            if (by_rows) {
                global const float *from[SHARE];
                for (int s = 0; s < SHARE; s++)
                    from[s] = (global const float *)t->w + min(j + part * SHARE + s, end - 1) * t->k;
                dots(from, with, t->k, 0, lane, sum);
            } else if (j + lane < end && t->transposed) {
                global const float *w = (global const float *)t->w + j + lane;
                for (int p = part; p < t->k; p += PARTS)
                    for (int r = 0; r < ROWS; r++)
                        sum[r] = fma(w[p * t->n], with[r][p], sum[r]);
            } else if (j + lane < end) {
                weigh_panel(t->w + (ulong)j * (ulong)ROW_BYTES(t->k), min(PANEL, t->all - j), t->k, with, lane, part,
                            sum);
            }
            for (int i = 0; i < (by_rows ? SHARE * ROWS : ROWS); i++)
                room[(part * SHARE * ROWS + i) * (LANES + 1) + lane] = sum[i];
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int e = item; e < ROWS * step; e += SIZE) {
                int r = e / step, out = e % step; /* a sum over lanes, or over parts */
                int from = by_rows ? (out * ROWS + r) * (LANES + 1) : r * (LANES + 1) + out;
                int count = by_rows ? LANES : PARTS, apart = by_rows ? 1 : SHARE * ROWS * (LANES + 1);
                float total = 0.0f;
                for (int i = 0; i < count; i++)
                    total += room[from + i * apart];
                if (j + out < end && r0 + r < rows)
                    finish(t, r0 + r, j + out, total);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
}
#endif

#if LANES == 1
#define ROOM
#define RUN(t, rows, group) run(&t, rows, group)
#else
#define ROOM local float room[PARTS * SHARE * ROWS * (LANES + 1)];
#define RUN(t, rows, group) run(&t, rows, group, room)
#endif

/* A group's one product: each ends before group number sd. */
#define CHOOSE                                                             \
    int group = (int)get_group_id(0), first = 0, end = s0.sd;              \
    global const uchar *w = w0;                                            \
    global const float *x = x0, *bias = bias0, *gate = gate0, *add = add0; \
    global float *y = y0;                                                  \
    int16 s = s0;
#define PICK(i)                                                           \
    if (group >= end) {                                                   \
        w = w##i, x = x##i, bias = bias##i, gate = gate##i, add = add##i; \
        y = y##i, s = s##i, first = end;                                  \
    }                                                                     \
    end = s##i.sd;

#if COUNT == 1
kernel void products_1(global const float *x0, global const uchar *w0, global const float *bias0, global float *y0,
                       global const float *gate0, global const float *add0, int16 s0, int rows)
{
    ROOM struct product t = product_of(w0, x0, bias0, gate0, add0, y0, s0);
    RUN(t, rows, (int)get_group_id(0));
}
#endif

#if COUNT == 2
kernel void products_2(global const float *x0, global const uchar *w0, global const float *bias0, global float *y0,
                       global const float *gate0, global const float *add0, int16 s0, global const float *x1,
                       global const uchar *w1, global const float *bias1, global float *y1, global const float *gate1,
                       global const float *add1, int16 s1, int rows)
{
    ROOM CHOOSE PICK(1) struct product t = product_of(w, x, bias, gate, add, y, s);
    RUN(t, rows, group - first);
}
#endif

#if COUNT == 4
kernel void products_4(global const float *x0, global const uchar *w0, global const float *bias0, global float *y0,
                       global const float *gate0, global const float *add0, int16 s0, global const float *x1,
                       global const uchar *w1, global const float *bias1, global float *y1, global const float *gate1,
                       global const float *add1, int16 s1, global const float *x2, global const uchar *w2,
                       global const float *bias2, global float *y2, global const float *gate2, global const float *add2,
                       int16 s2, global const float *x3, global const uchar *w3, global const float *bias3,
                       global float *y3, global const float *gate3, global const float *add3, int16 s3, int rows)
{
    ROOM CHOOSE PICK(1) PICK(2) PICK(3) struct product t = product_of(w, x, bias, gate, add, y, s);
    RUN(t, rows, group - first);
}
#endif

#if COUNT == 8
kernel void products_8(global const float *x0, global const uchar *w0, global const float *bias0, global float *y0,
                       global const float *gate0, global const float *add0, int16 s0, global const float *x1,
                       global const uchar *w1, global const float *bias1, global float *y1, global const float *gate1,
                       global const float *add1, int16 s1, global const float *x2, global const uchar *w2,
                       global const float *bias2, global float *y2, global const float *gate2, global const float *add2,
                       int16 s2, global const float *x3, global const uchar *w3, global const float *bias3,
                       global float *y3, global const float *gate3, global const float *add3, int16 s3,
                       global const float *x4, global const uchar *w4, global const float *bias4, global float *y4,
                       global const float *gate4, global const float *add4, int16 s4, global const float *x5,
                       global const uchar *w5, global const float *bias5, global float *y5, global const float *gate5,
                       global const float *add5, int16 s5, global const float *x6, global const uchar *w6,
                       global const float *bias6, global float *y6, global const float *gate6, global const float *add6,
                       int16 s6, global const float *x7, global const uchar *w7, global const float *bias7,
                       global float *y7, global const float *gate7, global const float *add7, int16 s7, int rows)
{
    ROOM CHOOSE PICK(1) PICK(2) PICK(3) PICK(4) PICK(5) PICK(6) PICK(7) struct product t =
        product_of(w, x, bias, gate, add, y, s);
    RUN(t, rows, group - first);
}
#endif
