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
#define DEPTH 256  /* terms of a sum taken in one go, so that DEPTH x PANEL of the weights stay nearest */
#define TILES                                                                                               \
    4            /* of ROWS rows of a weight's gradient are one group's, so that its columns of x stay near \
                  */
#define SPAN 128 /* positions taken in one go for them */
#else
#define PANEL (LANES > 32 ? LANES : 32)
#define ROWS 8
#define STRETCH 16
#define TILES 1
#define SPAN 1024
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
                               global const float *b2, global const float *b3, global float *restrict packed, int from,
                               int C, int D)
{
    int panel = (int)get_group_id(0), e = (int)get_group_id(1), panels = (int)get_num_groups(0);
    global const float *w = ONE_OF(w, e), *b = ONE_OF(b, e);
    global float *to = packed + ((from + e) * panels + panel) * (C + 1) * PANEL;
    int k = 0, left = D - panel * PANEL; /* outputs that exist from this panel on */
    FOR_LANE(j, PANEL)
        to[j] = j < left ? b[panel * PANEL + j] : 0.0f;
    to += PANEL;
    w += panel * PANEL * C;
#if LANES == 1
    for (; k + 4 <= C; k += 4) {
        for (int j = 0; j + 4 <= min(left, PANEL); j += 4) {
            global const float *from = w + j * C + k;
            float4 p = vload4(0, from), q = vload4(0, from + C), r = vload4(0, from + 2 * C);
            float4 s = vload4(0, from + 3 * C);
            vstore4((float4)(p.x, q.x, r.x, s.x), 0, to + k * PANEL + j);
            vstore4((float4)(p.y, q.y, r.y, s.y), 0, to + (k + 1) * PANEL + j);
            vstore4((float4)(p.z, q.z, r.z, s.z), 0, to + (k + 2) * PANEL + j);
            vstore4((float4)(p.w, q.w, r.w, s.w), 0, to + (k + 3) * PANEL + j);
        }
    }
    for (int j = min(left, PANEL) / 4 * 4; j < PANEL; j++)
        for (int i = 0; i < k; i++)
            to[i * PANEL + j] = j < left ? w[j * C + i] : 0.0f;
#endif
    FOR_LANE(j, PANEL)
        for (int i = k; i < C; i++)
            to[i * PANEL + j] = j < left ? w[j * C + i] : 0.0f;
}

#if LANES == 1
struct tile {
    floatv lo[ROWS], hi[ROWS];
};

/* t += row_i[k] * b[k][0 .. n-1] over k < depth; rows of b lie `stride` apart */
__attribute__((always_inline)) static inline void multiply(struct tile *t, global const float *const *row,
                                                           global const float *b, int depth, int stride, int n)
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

/* For the positions begin .. end-1: out[to[p]][j] = bias[j] + the sum over k < depth of in[from[p]][k]
 * b[k][j], j < columns <= PANEL. Rows of in, b and out are in_width, stride, out_width wide; bias NULL is 0.
 * `padded`: all PANEL columns of b and bias can be read. */
__attribute__((always_inline)) static inline void product(global const float *in, global const int *from, int in_width,
                                                          int depth, global const float *bias, global const float *b,
                                                          int stride, bool padded, global float *out,
                                                          global const int *to, int out_width, int columns, int begin,
                                                          int end)
{
#if LANES == 1
    for (int k = 0; k < depth; k += DEPTH) {
        for (int p = begin; p < end; p += ROWS) {
            global const float *row[ROWS];
            struct tile t;
            int part = min(DEPTH, depth - k);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                int position = min(p + i, end - 1);
                global const float *start = k ? out + to[position] * out_width : bias;
                row[i] = in + from[position] * in_width + k;
                t.lo[i] = start ? load_some(start, columns) : (floatv)0.0f;
                t.hi[i] = start ? load_some(start + VEC, columns - VEC) : (floatv)0.0f;
            }
            if (padded || columns == PANEL)
                multiply(&t, row, b + k * stride, part, stride, PANEL);
            else
                multiply(&t, row, b + k * stride, part, stride, columns);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                global float *o = out + to[min(p + i, end - 1)] * out_width;
                if (p + i < end) {
                    store_some(t.lo[i], o, columns);
                    store_some(t.hi[i], o + VEC, columns - VEC);
                }
            }
        }
    }
#else
    (void)padded;
    for (int p = begin; p < end; p += ROWS) {
        FOR_LANE(j, columns) {
            float sum[ROWS];
            int row[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                row[i] = from[min(p + i, end - 1)] * in_width;
                sum[i] = bias ? bias[j] : 0.0f;
            }
            for (int k = 0; k < depth; k++) {
                float v = b[k * stride + j];
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    sum[i] = fma(in[row[i] + k], v, sum[i]);
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                if (p + i < end)
                    out[to[p + i] * out_width + j] = sum[i];
        }
    }
#endif
}

/* o from x and the packed weights; groups (panel, stretch) */
kernel void expert_linear_forward(global const float *restrict x, global const int *restrict routes,
                                  global const float *restrict packed, global float *restrict o, int n, int E, int C,
                                  int D)
{
    global const int *source = routes + n, *token = routes + 2 * n, *first = routes + 3 * n;
    int panel = (int)get_group_id(0), panels = (int)get_num_groups(0), start = panel * PANEL, begin, end;
    int e = find_stretch(first, 0, E, (int)get_group_id(1), &begin, &end);
    if (e < 0)
        return;
    global const float *bias = packed + (e * panels + panel) * (C + 1) * PANEL;
    product(x, token, C, C, bias, bias + PANEL, PANEL, true, o + start, source, D, min(PANEL, D - start), begin, end);
}

/* The same for few rows, straight from the weights: groups (share of the outputs, expert) */
kernel void expert_linear_few(global const float *restrict x, global const int *restrict routes, global const float *w0,
                              global const float *w1, global const float *w2, global const float *w3,
                              global const float *b0, global const float *b1, global const float *b2,
                              global const float *b3, global float *restrict o, int n, int from, int C, int D)
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
                                         global const float *w0, global const float *w1, global const float *w2,
                                         global const float *w3, global float *restrict part, int n, int from, int to,
                                         int C, int D)
{
    global const int *source = routes + n, *first = routes + 3 * n;
    int start = (int)get_group_id(0) * PANEL, begin, end;
    int e = find_stretch(first, from, to, (int)get_group_id(1), &begin, &end);
    if (e < 0)
        return;
    e -= from;
    product(d_o, source, D, D, 0, ONE_OF(w, e) + start, C, false, part + start, source, C, min(PANEL, C - start), begin,
            end);
}

/* dx[r] = the sum over a < A of part[r*A + a], added to dx if accumulate; R rows of C */
kernel void expert_linear_sum(global const float *restrict part, global float *restrict dx, int R, int A, int C,
                              int accumulate)
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
__attribute__((always_inline)) static inline void multiply_rows(struct tile *t, global const float *x,
                                                                global const float *d_o, global const int *source,
                                                                global const int *token, int begin, int end, int C,
                                                                int D, int last, int n)
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

/* ROWS rows of a weight's gradient from d = own on: dw[d,j] += the sum over begin <= p < end of
 * d_o[source[p]][d] x[token[p]][j], j < columns <= PANEL. If fewer rows are left, those before are computed
 * with them and not written. */
static inline void gradient_tile(global const float *x, global const float *d_o, global const int *source,
                                 global const int *token, global float *dw, int own, int begin, int end, int C, int D,
                                 int columns)
{
    int top = max(min(own, D - ROWS), 0), last = min(ROWS, D) - 1;
    dw += top * C;
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
        global float *to = dw + i * C;
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
                dw[i * C + j] += sum[i];
    }
#endif
}

/* dw_e[d,c] += the sum over the assignments i of e of d_o[i,d] x[i/A,c]; groups (panel of c, TILES * ROWS of
 * d, expert) */
kernel void expert_linear_backward_weight(global const float *restrict x, global const float *restrict d_o,
                                          global const int *restrict routes, global float *w0, global float *w1,
                                          global float *w2, global float *w3, int n, int from, int C, int D)
{
    global const int *source = routes + n, *token = routes + 2 * n, *first = routes + 3 * n;
    int start = (int)get_group_id(0) * PANEL, columns = min(PANEL, C - start), e = (int)get_group_id(2);
    int top = (int)get_group_id(1) * TILES * ROWS, bottom = min(top + TILES * ROWS, D);
    int begin = first[from + e], end = first[from + e + 1];
    global float *dw = ONE_OF(w, e) + start;
    for (int p = begin; p < end; p += SPAN)
        for (int d = top; d < bottom; d += ROWS)
            gradient_tile(x + start, d_o, source, token, dw, d, p, min(p + SPAN, end), C, D, columns);
}

/* db_e[d] += the sum of d_o[i,d] over the assignments i of e; groups (share of d, expert) */
kernel void expert_linear_backward_bias(global const float *restrict d_o, global const int *restrict routes,
                                        global float *b0, global float *b1, global float *b2, global float *b3, int n,
                                        int from, int D)
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
