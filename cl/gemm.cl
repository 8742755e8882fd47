/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products C[m,n] = A[m,k] · B[k,n] (+ C) (+ bias [n] on every row), row-major. Element (i,p) of A is
 * a[i * row_a + p * col_a], so that transposition costs nothing; B is stored (k,n), or (n,k) if trans_b.
 * In a format of weights B is all rows of (trans_b, k); offset_b is its first row, ldb its whole k.
 * The third dimension of the grid numbers products stride_* apart, or, if total > 0, slices of k positions of
 * one product of depth `total`, whose results gemm_add_parts adds up.
 *
 * On a CPU (LANES 1) a group of one work-item takes `chunk` rows by `panels` panels of TILE_V vectors. It packs
 * a panel of B, at most DEPTH deep, into local memory, which stays in the nearest cache, then computes tiles of
 * TILE_M rows by the panel's width in registers: a row of the panel times TILE_M numbers of A, read in place.
 * On a GPU a group of SIDE x SIDE work-items computes a square tile, 4 x 4 elements each, SIDE apart. */

#include "unpack.cl"

#if LANES == 1
#ifndef TILE_M
#define TILE_M 6
#define TILE_V 2
#define DEPTH 128
#endif
#define TILE_N (TILE_V * VEC)

/* The lowest bit of the column becomes the highest bit of the row and all others move one place: log2(VEC) turns
 * transpose VEC vectors. */
INLINE void turn(const floatv *from, floatv *to)
{
#pragma unroll
    for (int i = 0; i < VEC / 2; i++) {
        to[i] = (floatv)(from[2 * i].even, from[2 * i + 1].even);
        to[i + VEC / 2] = (floatv)(from[2 * i].odd, from[2 * i + 1].odd);
    }
}

INLINE void transpose(floatv *x)
{
    floatv y[VEC];
    turn(x, y);
    turn(y, x);
#if VEC == 16
    turn(x, y);
    turn(y, x);
#elif VEC == 8
    turn(x, y);
#pragma unroll
    for (int i = 0; i < VEC; i++)
        x[i] = y[i];
#endif
}

/* panel[p][j] = b[j * ldb + p] for p < depth, j < width; further columns up to a whole vector repeat the last. */
INLINE void pack_transposed(local float *panel, global const float *b, int ldb, int depth, int width)
{
    for (int j = 0; j < width; j += VEC) {
        if (depth < VEC) {
            for (int p = 0; p < depth; p++)
                for (int i = 0; i < VEC; i++)
                    panel[p * TILE_N + j + i] = b[min(j + i, width - 1) * ldb + p];
            continue;
        }
        for (int at = 0; at < depth; at += VEC) {
            int p = min(at, depth - VEC);
            floatv x[VEC];
#pragma unroll
            for (int i = 0; i < VEC; i++)
                x[i] = vloadv(0, b + min(j + i, width - 1) * ldb + p);
            transpose(x);
#pragma unroll
            for (int i = 0; i < VEC; i++)
                vstorev(x[i], 0, panel + (p + i) * TILE_N + j);
        }
    }
}

/* panel[p][j] = b[p * ldb + j] likewise. */
INLINE void pack_straight(local float *panel, global const float *b, int ldb, int depth, int width)
{
    if (width == TILE_N) {
        for (int p = 0; p < depth; p++)
#pragma unroll
            for (int v = 0; v < TILE_V; v++)
                vstorev(vloadv(v, b + p * ldb), v, panel + p * TILE_N);
        return;
    }
    for (int p = 0; p < depth; p++)
        for (int j = 0; j < width; j += VEC)
            vstorev(load_some(b + p * ldb + j, width - j), 0, panel + p * TILE_N + j);
}

#if FORMAT != F32
/* panel[p][v] = element first + p of the rows of one panel of weights of h rows */
INLINE void pack_rows(local float *panel, global const uchar *w, int h, int first, int depth)
{
#if QUANTISED
    for (int p = 0; p < depth; p += BLOCK) {
        struct scales scales = open_block(w + (first + p) / BLOCK * BLOCK_BYTES * h, h);
        local float *to = panel + p * TILE_N;
#pragma unroll 4
        for (int i = 0; i < DIGITS; i++) {
            vstorev(low_digit(&scales, h, i), 0, to + i * TILE_N);
#if DIGITS < BLOCK
            vstorev(high_digit(&scales, h, i), 0, to + (DIGITS + i) * TILE_N);
#endif
        }
    }
#else
    w += 2 * h * first;
    for (int p = 0; p < depth; p++, w += 2 * h)
        vstorev(halves_of(w), 0, panel + p * TILE_N);
#endif
}

/* panel[p][j] = element first + p of row j of w, of which `rows` follow and `width` count */
INLINE void pack_weights(local float *panel, global const uchar *w, int rows, int k, int first, int depth, int width)
{
    for (int j = 0; j < width; j += VEC, w += VEC * ROW_BYTES(k))
        if (rows - j >= VEC)
            pack_rows(panel + j, w, VEC, first, depth);
        else
            pack_rows(panel + j, w, rows - j, first, depth);
}
#endif

/* TILE_M rows by `vectors` (a constant) vectors of C; of the rows the first `rows` exist. Whole tiles are stored
 * to c; others go to `edge`, to be stored piece by piece. */
INLINE void tile(global const float *a, int row_a, int col_a, local const float *panel, const floatv *start,
                 global float *c, int ldc, int rows, int depth, bool add, bool whole, float *edge, const int vectors)
{
    global const float *row[TILE_M];
    floatv sum[TILE_M][TILE_V];
#pragma unroll
    for (int r = 0; r < TILE_M; r++) {
        row[r] = a + min(r, rows - 1) * row_a;
#pragma unroll
        for (int v = 0; v < TILE_V; v++)
            sum[r][v] = start[v];
    }
    int at = 0;
#if FORMAT == F32
#pragma unroll 2
#else
#pragma unroll 1
#endif
    for (int p = 0; p < depth; p++, at += col_a) {
        floatv b[TILE_V];
#pragma unroll
        for (int v = 0; v < TILE_V; v++)
            if (v < vectors)
                b[v] = vloadv(v, panel + p * TILE_N);
#pragma unroll
        for (int r = 0; r < TILE_M; r++) {
            floatv x = row[r][at];
#pragma unroll
            for (int v = 0; v < TILE_V; v++)
                if (v < vectors)
                    sum[r][v] = fma(x, b[v], sum[r][v]);
        }
    }
#pragma unroll
    for (int r = 0; r < TILE_M; r++)
#pragma unroll
        for (int v = 0; v < TILE_V; v++) {
            if (v >= vectors)
                continue;
            if (!whole)
                vstorev(sum[r][v], r * TILE_V + v, edge);
            else if (r < rows)
                vstorev(add ? vloadv(v, c + r * ldc) + sum[r][v] : sum[r][v], v, c + r * ldc);
        }
}

INLINE void store_edge(const float *edge, global float *c, int ldc, int rows, int width, bool add)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < width; j += VEC) {
            global float *to = c + r * ldc + j;
            floatv sum = vloadv(0, edge + r * TILE_N + j);
            store_some(add ? load_some(to, width - j) + sum : sum, to, width - j);
        }
}

/* All tiles of rows i0 .. i1-1 and the packed panel's columns, of which `width` exist. */
INLINE void multiply_panel(global const float *a, int row_a, int col_a, local const float *panel, const floatv *start,
                           global float *c, int ldc, int i0, int i1, int depth, int width, bool add)
{
    bool whole = width % VEC == 0;
    float edge[TILE_M * TILE_N];
    for (int i = i0; i < i1; i += TILE_M) {
        global const float *from = a + i * row_a;
        global float *to = c + i * ldc;
        int rows = min(TILE_M, i1 - i);
#if TILE_V >= 4
        if (width > 3 * VEC)
            tile(from, row_a, col_a, panel, start, to, ldc, rows, depth, add, whole, edge, 4);
        else
#endif
#if TILE_V >= 3
            if (width > 2 * VEC)
            tile(from, row_a, col_a, panel, start, to, ldc, rows, depth, add, whole, edge, 3);
        else
#endif
#if TILE_V >= 2
            if (width > VEC)
            tile(from, row_a, col_a, panel, start, to, ldc, rows, depth, add, whole, edge, 2);
        else
#endif
            tile(from, row_a, col_a, panel, start, to, ldc, rows, depth, add, whole, edge, 1);
        if (!whole)
            store_edge(edge, to, ldc, rows, width, add);
    }
}

kernel void gemm_own(global const float *restrict a, global const uchar *restrict matrix, global float *restrict c,
                     global const float *restrict bias, ulong offset_a, ulong offset_b, ulong offset_c, ulong stride_a,
                     ulong stride_b, ulong stride_c, int m, int n, int k, int total, int row_a, int col_a, int ldb,
                     int trans_b, int ldc, int accumulate, int chunk, int panels)
{
    local float panel[DEPTH * TILE_N];
    int z = (int)get_group_id(2);
    a += offset_a + z * stride_a;
    c += offset_c + z * stride_c;
#if FORMAT == F32
    global const float *b = (global const float *)matrix + offset_b + z * stride_b;
#else
    int first = z * (int)stride_b, all = trans_b - (int)offset_b;
    matrix += offset_b * (ulong)ROW_BYTES(ldb);
#endif
    if (total > 0)
        k = min(k, total - z * k);
    int i0 = (int)get_group_id(1) * chunk, i1 = min(m, i0 + chunk);
    int j0 = (int)get_group_id(0) * panels * TILE_N, j1 = min(n, j0 + panels * TILE_N);
    int blocks = (k + DEPTH - 1) / DEPTH, most = (k + blocks - 1) / blocks; /* of even depth */
#if QUANTISED
    most = (most + BLOCK - 1) / BLOCK * BLOCK;
#endif
    for (int p = 0; p < k; p += most) {
        int depth = min(most, k - p);
        for (int j = j0; j < j1; j += TILE_N) {
            int width = min(TILE_N, j1 - j);
#if FORMAT != F32
            pack_weights(panel, matrix + (ulong)j * (ulong)ROW_BYTES(ldb), all - j, ldb, first + p, depth, width);
#else
            if (trans_b)
                pack_transposed(panel, b + j * ldb + p, ldb, depth, width);
            else
                pack_straight(panel, b + p * ldb + j, ldb, depth, width);
#endif
            floatv start[TILE_V];
#pragma unroll
            for (int v = 0; v < TILE_V; v++)
                start[v] = bias && p == 0 ? load_some(bias + j + v * VEC, width - v * VEC) : (floatv)(0.0f);
            multiply_panel(a + p * col_a, row_a, col_a, panel, start, c + j, ldc, i0, i1, depth, width,
                           accumulate || p > 0);
        }
    }
}

#else
#ifndef SIDE
#define SIDE 8
#endif
#define TILE (4 * SIDE)
#define ITEMS (SIDE * SIDE)
#define DEPTH 16

/* part[p][i] = element (i,p) of a matrix, 0 outside; neighbours in memory go to neighbouring work-items. */
INLINE void load_part(local float *part, global const float *from, int row, int col, int rows, int depth, int item)
{
    for (int e = item; e < DEPTH * TILE; e += ITEMS) {
        int p = col == 1 ? e % DEPTH : e / TILE, i = col == 1 ? e / DEPTH : e % TILE;
        part[p * (TILE + 1) + i] = p < depth && i < rows ? from[i * row + p * col] : 0.0f;
    }
}

#if FORMAT != F32
/* The same of rows from `row` on and elements from `first` on of weights. */
INLINE void load_weights(local float *part, global const uchar *w, int all, int k, int row, int first, int rows,
                         int depth, int item)
{
    for (int e = item; e < DEPTH * TILE; e += ITEMS) {
        int p = e / TILE, i = e % TILE;
        part[p * (TILE + 1) + i] = p < depth && i < rows ? weight_at(w, all, k, row + i, first + p) : 0.0f;
    }
}
#endif

kernel void gemm_own(global const float *restrict a, global const uchar *restrict matrix, global float *restrict c,
                     global const float *restrict bias, ulong offset_a, ulong offset_b, ulong offset_c, ulong stride_a,
                     ulong stride_b, ulong stride_c, int m, int n, int k, int total, int row_a, int col_a, int ldb,
                     int trans_b, int ldc, int accumulate, int chunk, int panels)
{
    local float part_a[DEPTH * (TILE + 1)], part_b[DEPTH * (TILE + 1)];
    int z = (int)get_group_id(2), item = (int)get_local_id(0), x = item % SIDE, y = item / SIDE;
    int i0 = (int)get_group_id(1) * TILE, j0 = (int)get_group_id(0) * TILE;
    a += offset_a + z * stride_a + i0 * row_a;
#if FORMAT == F32
    int row_b = trans_b ? ldb : 1, col_b = trans_b ? 1 : ldb; /* of B's transpose */
    global const float *b = (global const float *)matrix + offset_b + z * stride_b + j0 * row_b;
#endif
    c += offset_c + z * stride_c;
    if (total > 0)
        k = min(k, total - z * k);
    float sum[4][4];
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < 4; s++)
            sum[r][s] = 0.0f;
    for (int p0 = 0; p0 < k; p0 += DEPTH) {
        load_part(part_a, a + p0 * col_a, row_a, col_a, m - i0, k - p0, item);
#if FORMAT == F32
        load_part(part_b, b + p0 * col_b, row_b, col_b, n - j0, k - p0, item);
#else
        load_weights(part_b, matrix, trans_b, ldb, (int)offset_b + j0, z * (int)stride_b + p0, n - j0, k - p0, item);
#endif
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = 0; p < DEPTH; p++) {
            local const float *pa = part_a + p * (TILE + 1) + y, *pb = part_b + p * (TILE + 1) + x;
            for (int r = 0; r < 4; r++)
                for (int s = 0; s < 4; s++)
                    sum[r][s] = fma(pa[r * SIDE], pb[s * SIDE], sum[r][s]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < 4; s++) {
            int i = i0 + y + r * SIDE, j = j0 + x + s * SIDE;
            if (i < m && j < n) {
                float value = sum[r][s] + (bias ? bias[j] : 0.0f);
                c[i * ldc + j] = accumulate ? c[i * ldc + j] + value : value;
            }
        }
}
#endif

/* C = sum of `count` parts [m,n] in their order (+ C) (+ bias). */
kernel void gemm_add_parts(global const float *restrict parts, global float *restrict c,
                           global const float *restrict bias, ulong offset_c, int m, int n, int count, int ldc,
                           int accumulate)
{
    c += offset_c;
    FOR_ITEMS(e, m * n) {
        int i = e / n, j = e % n;
        float sum = bias ? bias[j] : 0.0f;
        for (int s = 0; s < count; s++)
            sum += parts[(ulong)s * (ulong)(m * n) + (ulong)e];
        c[i * ldc + j] = accumulate ? c[i * ldc + j] + sum : sum;
    }
}

/* y [rows,k] = rows first .. first+rows-1 of the weights w [all,k] */
kernel void gemm_widen(global const uchar *restrict w, global float *restrict y, int all, int k, int first, int rows)
{
    FOR_ITEMS(e, rows * k) {
        y[e] = weight_at(w, all, k, first + e / k, e % k);
    }
}
