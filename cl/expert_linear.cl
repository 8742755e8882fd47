/* SPDX-License-Identifier: GPL-3.0-or-later
 * The linear layers of routed experts: o[i] = w_e x[i / A] + b_e for the assignments i of expert e, as
 * cl/mixture_topk.cl routes them. n = R*A assignments; x [R,C], o [n,D] by assignment, w_e [D,C], b_e [D].
 * Work-groups find out on the device which rows they have. Weights come four experts a launch, from the
 * expert `from` on.
 *
 * A group computes tiles of ROWS rows by PANEL columns: alone, a work-item holds a tile in vectors; else a
 * lane holds ROWS numbers of each of its columns. ops/expert_linear.c knows PANEL, ROWS and STRETCH too. */
#if LANES == 1
#define PANEL (2 * VEC)
#define ROWS (VEC == 16 ? 8 : 4)
#define STRETCH 64 /* at most so many of an expert's rows are one group's, so that its weights stay near */
#else
#define PANEL (LANES > 32 ? LANES : 32)
#define ROWS 8
#define STRETCH 16
#endif

#define ONE_OF(p, e) (e == 0 ? p##0 : e == 1 ? p##1 : e == 2 ? p##2 : p##3)

/* The tile-th stretch of positions of the experts from .. to-1, as begin and end; its expert, or -1. */
static inline int find_stretch(global const int *first, int from, int to, int tile, int *begin, int *end)
{
    for (int e = from; e < to; e++) {
        int tiles = (first[e + 1] - first[e] + STRETCH - 1) / STRETCH;
        if (tile < tiles) {
            *begin = first[e] + tile * STRETCH;
            *end = min(*begin + STRETCH, first[e + 1]);
            return e;
        }
        tile -= tiles;
    }
    return -1;
}

/* packed: per expert and panel of its outputs C+1 rows of PANEL numbers, the bias and the columns of w, 0
 * beyond D. Groups (panel, expert). */
kernel void expert_linear_pack(global const float *w0, global const float *w1, global const float *w2,
                               global const float *w3, global const float *b0, global const float *b1,
                               global const float *b2, global const float *b3, global float *restrict packed,
                               int from, int C, int D)
{
    int panel = (int)get_group_id(0), e = (int)get_group_id(1), panels = (int)get_num_groups(0);
    global const float *w = ONE_OF(w, e), *b = ONE_OF(b, e);
    global float *to = packed + ((from + e) * panels + panel) * (C + 1) * PANEL;
    FOR_LANE(j, PANEL) {
        int d = panel * PANEL + j;
        to[j] = d < D ? b[d] : 0.0f;
        for (int k = 0; k < C; k++)
            to[(k + 1) * PANEL + j] = d < D ? w[d * C + k] : 0.0f;
    }
}

#if LANES == 1
struct tile {
    floatv lo[ROWS], hi[ROWS];
};

/* t += row_i[k] * b[k][0 .. n-1] over k < depth; rows of b lie `stride` apart */
__attribute__((always_inline)) static inline void
multiply(struct tile *t, global const float *const *row, global const float *b, int depth, int stride, int n)
{
    for (int k = 0; k < depth; k++) {
        floatv lo = load_some(b + k * stride, n), hi = load_some(b + k * stride + VEC, n - VEC);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float a = row[i][k];
            t->lo[i] = fma((floatv)a, lo, t->lo[i]);
            t->hi[i] = fma((floatv)a, hi, t->hi[i]);
        }
    }
}
#endif

/* o from x and the packed weights; groups (panel, stretch) */
kernel void expert_linear_forward(global const float *restrict x, global const int *restrict routes,
                                  global const float *restrict packed, global float *restrict o, int n, int E,
                                  int C, int D)
{
    global const int *source = routes + n, *token = routes + 2 * n, *first = routes + 3 * n;
    int panel = (int)get_group_id(0), panels = (int)get_num_groups(0), begin, end;
    int e = find_stretch(first, 0, E, (int)get_group_id(1), &begin, &end);
    if (e < 0)
        return;
    global const float *b = packed + (e * panels + panel) * (C + 1) * PANEL;
    int columns = min(PANEL, D - panel * PANEL);
    for (int p = begin; p < end; p += ROWS) {
        global const float *row[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            row[i] = x + token[min(p + i, end - 1)] * C;
#if LANES == 1
        struct tile t;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            t.lo[i] = vloadv(0, b);
            t.hi[i] = vloadv(1, b);
        }
        multiply(&t, row, b + PANEL, C, PANEL, PANEL);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            global float *to = o + source[min(p + i, end - 1)] * D + panel * PANEL;
            if (p + i < end) {
                store_some(t.lo[i], to, columns);
                store_some(t.hi[i], to + VEC, columns - VEC);
            }
        }
#else
        FOR_LANE(j, columns) {
            float sum[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                sum[i] = b[j];
            for (int k = 0; k < C; k++) {
                float v = b[(k + 1) * PANEL + j];
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    sum[i] = fma(row[i][k], v, sum[i]);
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                if (p + i < end)
                    o[source[p + i] * D + panel * PANEL + j] = sum[i];
        }
#endif
    }
}

/* The same for few rows, straight from the weights: groups (share of the outputs, expert) */
kernel void expert_linear_few(global const float *restrict x, global const int *restrict routes,
                              global const float *w0, global const float *w1, global const float *w2,
                              global const float *w3, global const float *b0, global const float *b1,
                              global const float *b2, global const float *b3, global float *restrict o, int n,
                              int from, int C, int D)
{
    local float room[LANES];
    global const int *source = routes + n, *token = routes + 2 * n, *first = routes + 3 * n;
    int e = (int)get_group_id(1), begin = first[from + e], end = first[from + e + 1];
    global const float *weight = ONE_OF(w, e), *bias = ONE_OF(b, e);
    if (begin == end)
        return;
    FOR_ROWS(d, D) {
        global const float *v = weight + d * C;
        for (int p = begin; p < end; p++) {
            global const float *u = x + token[p] * C;
            floatv sum = 0.0f, more = 0.0f;
            int i = LANE * VEC;
            for (; i + (LANES + 1) * VEC <= C; i += 2 * LANES * VEC) {
                sum = fma(vloadv(0, u + i), vloadv(0, v + i), sum);
                more = fma(vloadv(0, u + i + LANES * VEC), vloadv(0, v + i + LANES * VEC), more);
            }
            for (; i < C; i += LANES * VEC)
                sum = fma(load_some(u + i, C - i), load_some(v + i, C - i), sum);
            float total = row_sum(sum_of_vector(sum + more), room);
            if (LANE == 0)
                o[source[p] * D + d] = total + bias[d];
        }
    }
}

/* part[i] = d_o[i] w_e for the assignments i of each expert e, part [n,C]; groups (panel, stretch) */
kernel void expert_linear_backward_input(global const float *restrict d_o, global const int *restrict routes,
                                         global const float *w0, global const float *w1,
                                         global const float *w2, global const float *w3,
                                         global float *restrict part, int n, int from, int to, int C, int D)
{
    global const int *source = routes + n, *first = routes + 3 * n;
    int start = (int)get_group_id(0) * PANEL, columns = min(PANEL, C - start), begin, end;
    int e = find_stretch(first, from, to, (int)get_group_id(1), &begin, &end);
    if (e < 0)
        return;
    e -= from;
    global const float *b = ONE_OF(w, e) + start;
    for (int p = begin; p < end; p += ROWS) {
        global const float *row[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            row[i] = d_o + source[min(p + i, end - 1)] * D;
#if LANES == 1
        struct tile t;
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            t.lo[i] = t.hi[i] = 0.0f;
        if (columns == PANEL)
            multiply(&t, row, b, D, C, PANEL);
        else
            multiply(&t, row, b, D, C, columns);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            global float *out = part + source[min(p + i, end - 1)] * C + start;
            if (p + i < end) {
                store_some(t.lo[i], out, columns);
                store_some(t.hi[i], out + VEC, columns - VEC);
            }
        }
#else
        FOR_LANE(j, columns) {
            float sum[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                sum[i] = 0.0f;
            for (int k = 0; k < D; k++) {
                float v = b[k * C + j];
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    sum[i] = fma(row[i][k], v, sum[i]);
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                if (p + i < end)
                    part[source[p + i] * C + start + j] = sum[i];
        }
#endif
    }
}

/* dx[r] = the sum over a < A of part[r*A + a], added to dx if accumulate; R rows of C */
kernel void expert_linear_sum(global const float *restrict part, global float *restrict dx, int R, int A,
                              int C, int accumulate)
{
    FOR_ROWS(row, R) {
        global const float *from = part + row * A * C;
        global float *to = dx + row * C;
        FOR_LANE_VECTORS(i, C) {
            floatv sum = load_some(from + i, C - i);
            for (int a = 1; a < A; a++)
                sum += load_some(from + a * C + i, C - i);
            if (accumulate)
                sum += load_some(to + i, C - i);
            store_some(sum, to + i, C - i);
        }
    }
}

#if LANES == 1
/* t += d_o[source[p]][i] * x[token[p]][0 .. n-1] over begin <= p < end; rows above `last` repeat it */
__attribute__((always_inline)) static inline void
multiply_rows(struct tile *t, global const float *x, global const float *d_o, global const int *source,
              global const int *token, int begin, int end, int C, int D, int last, int n)
{
    for (int p = begin; p < end; p++) {
        global const float *u = x + token[p] * C, *a = d_o + source[p] * D;
        floatv lo = load_some(u, n), hi = load_some(u + VEC, n - VEC);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float g = a[min(i, last)];
            t->lo[i] = fma((floatv)g, lo, t->lo[i]);
            t->hi[i] = fma((floatv)g, hi, t->hi[i]);
        }
    }
}
#endif

/* dw_e[d,c] += the sum over the assignments i of e of d_o[i,d] x[i/A,c]; groups (panel of c, ROWS of d,
 * expert) */
kernel void expert_linear_backward_weight(global const float *restrict x, global const float *restrict d_o,
                                          global const int *restrict routes, global float *w0,
                                          global float *w1, global float *w2, global float *w3, int n,
                                          int from, int C, int D)
{
    global const int *source = routes + n, *token = routes + 2 * n, *first = routes + 3 * n;
    int start = (int)get_group_id(0) * PANEL, columns = min(PANEL, C - start);
    int e = (int)get_group_id(2), begin = first[from + e], end = first[from + e + 1];
    if (begin == end)
        return;
    /* The last rows of d may be among those of the group before, and are then only computed. */
    int own = (int)get_group_id(1) * ROWS, top = max(min(own, D - ROWS), 0), last = min(ROWS, D) - 1;
    global float *dw = ONE_OF(w, e) + start;
    x += start;
    d_o += top;
#if LANES == 1
    struct tile t;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        t.lo[i] = t.hi[i] = 0.0f;
    if (columns == PANEL && last == ROWS - 1)
        multiply_rows(&t, x, d_o, source, token, begin, end, C, D, ROWS - 1, PANEL);
    else
        multiply_rows(&t, x, d_o, source, token, begin, end, C, D, last, columns);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        global float *to = dw + (top + i) * C;
        if (top + i >= own && i <= last) {
            store_some(load_some(to, columns) + t.lo[i], to, columns);
            store_some(load_some(to + VEC, columns - VEC) + t.hi[i], to + VEC, columns - VEC);
        }
    }
#else
    FOR_LANE(j, columns) {
        float sum[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            sum[i] = 0.0f;
        for (int p = begin; p < end; p++) {
            float v = x[token[p] * C + j];
            global const float *a = d_o + source[p] * D;
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                sum[i] = fma(a[min(i, last)], v, sum[i]);
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            if (top + i >= own && i <= last)
                dw[(top + i) * C + j] += sum[i];
    }
#endif
}

/* db_e[d] += the sum of d_o[i,d] over the assignments i of e; groups (share of d, expert) */
kernel void expert_linear_backward_bias(global const float *restrict d_o, global const int *restrict routes,
                                        global float *b0, global float *b1, global float *b2,
                                        global float *b3, int n, int from, int D)
{
    global const int *source = routes + n, *first = routes + 3 * n;
    int e = (int)get_group_id(1), begin = first[from + e], end = first[from + e + 1];
    global float *db = ONE_OF(b, e);
    int step = (int)get_num_groups(0) * LANES * VEC;
    for (int i = (int)get_global_id(0) * VEC; i < D; i += step) {
        floatv sum = 0.0f;
        for (int p = begin; p < end; p++)
            sum += load_some(d_o + source[p] * D + i, D - i);
        store_some(load_some(db + i, D - i) + sum, db + i, D - i);
    }
}
