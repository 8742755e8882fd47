/* SPDX-License-Identifier: GPL-3.0-or-later
 * Products of a matrix with 1 to 8 vectors, bound by reading the matrix once: y_r = W x_r (+ y_r) (+ bias),
 * r < rows. Number r, j of y is y[r * row_y + j * col_y], of the bias bias[r * row_bias + j * col_bias].
 * ROWS, 1, 2, 4 or 8, is at least `rows`; what it is more computes the last row again. The third dimension of
 * the grid numbers products stride_* apart. */

#ifndef ROWS
#define ROWS 1
#endif

#include "dot.cl"

INLINE void put(global float *y, global const float *bias, int bias_at, int at, int add, float value)
{
    value += bias ? bias[bias_at] : 0.0f;
    y[at] = add ? y[at] + value : value;
}

#if LANES > 1
INLINE float sum_of_lanes(local const float *parts)
{
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; lane++)
        sum += parts[lane];
    return sum;
}
#endif

/* W [n,k], rows ldw apart; x [rows,k], rows ldx apart. A group takes `block` outputs. */
kernel void matvec_rows(global const float *restrict w, global const float *restrict x, global float *restrict y,
                        global const float *restrict bias, ulong offset_w, ulong offset_x, ulong offset_y,
                        ulong stride_w, ulong stride_x, ulong stride_y, int rows, int n, int k, int ldw, int ldx,
                        int row_y, int col_y, int row_bias, int col_bias, int add, int block)
{
#if LANES > 1
    local float room[SHARE * ROWS][LANES + 1];
#endif
    w += offset_w + get_group_id(2) * stride_w;
    x += offset_x + get_group_id(2) * stride_x;
    y += offset_y + get_group_id(2) * stride_y;
    int j1 = min(n, ((int)get_group_id(0) + 1) * block);
    for (int j = (int)get_group_id(0) * block; j < j1; j += SHARE) {
        global const float *from[SHARE], *with[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            with[r] = x + min(r, rows - 1) * ldx;
#pragma unroll
        for (int s = 0; s < SHARE; s++)
            from[s] = w + min(j + s, j1 - 1) * ldw;
        float total[SHARE * ROWS];
        dots(from, with, k, SHARE * ldw, LANE, total);
#if LANES == 1
#pragma unroll
        for (int s = 0; s < SHARE; s++)
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (j + s < j1 && r < rows)
                    put(y, bias, r * row_bias + (j + s) * col_bias, r * row_y + (j + s) * col_y, add,
                        total[s * ROWS + r]);
#else
        for (int s = 0; s < SHARE; s++)
            for (int r = 0; r < ROWS; r++)
                room[s * ROWS + r][LANE] = total[s * ROWS + r];
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR_LANE(e, SHARE * ROWS) {
            int s = e / ROWS, r = e % ROWS;
            if (j + s < j1 && r < rows)
                put(y, bias, r * row_bias + (j + s) * col_bias, r * row_y + (j + s) * col_y, add,
                    sum_of_lanes(room[e]));
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
    }
}

/* W stored transposed, (k,n), rows ldw apart; number p of x_r is x[r * row_x + p * col_x]. On a CPU a group takes
 * WIDE vectors of outputs, elsewhere an output per lane. */
#if LANES == 1
#define WIDE (ROWS == 8 ? 2 : 4)
#define OUTPUTS (WIDE * VEC)
#else
#define OUTPUTS LANES
#endif

kernel void matvec_columns(global const float *restrict w, global const float *restrict x, global float *restrict y,
                           global const float *restrict bias, ulong offset_w, ulong offset_x, ulong offset_y,
                           ulong stride_w, ulong stride_x, ulong stride_y, int rows, int n, int k, int ldw, int row_x,
                           int col_x, int row_y, int col_y, int row_bias, int col_bias, int add)
{
    ulong z = get_group_id(2);
    int j0 = (int)get_group_id(0) * OUTPUTS, width = min(OUTPUTS, n - j0);
    w += offset_w + z * stride_w + j0;
    x += offset_x + z * stride_x;
    y += offset_y + z * stride_y;
    global const float *with[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        with[r] = x + min(r, rows - 1) * row_x;
#if LANES == 1
    floatv sum[ROWS][WIDE];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int v = 0; v < WIDE; v++)
            sum[r][v] = 0.0f;
    if (width == OUTPUTS) {
#pragma unroll 4
        for (int p = 0; p < k; p++) {
            floatv ws[WIDE];
#pragma unroll
            for (int v = 0; v < WIDE; v++)
                ws[v] = vloadv(v, w + p * ldw);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                floatv xs = with[r][p * col_x];
#pragma unroll
                for (int v = 0; v < WIDE; v++)
                    sum[r][v] = fma(xs, ws[v], sum[r][v]);
            }
        }
    } else {
        for (int p = 0; p < k; p++) {
#pragma unroll
            for (int v = 0; v < WIDE; v++) {
                floatv ws = load_some(w + p * ldw + v * VEC, width - v * VEC);
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sum[r][v] = fma((floatv)(with[r][p * col_x]), ws, sum[r][v]);
            }
        }
    }
    float out[ROWS * OUTPUTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int v = 0; v < WIDE; v++)
            vstorev(sum[r][v], r * WIDE + v, out);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < width; j++)
            put(y, bias, r * row_bias + (j0 + j) * col_bias, r * row_y + (j0 + j) * col_y, add, out[r * OUTPUTS + j]);
#else
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++)
        sum[r] = 0.0f;
    if (LANE < width) {
        for (int p = 0; p < k; p++) {
            float ws = w[p * ldw + LANE];
            for (int r = 0; r < ROWS; r++)
                sum[r] = fma(ws, with[r][p * col_x], sum[r]);
        }
        for (int r = 0; r < ROWS; r++)
            if (r < rows)
                put(y, bias, r * row_bias + (j0 + LANE) * col_bias, r * row_y + (j0 + LANE) * col_y, add, sum[r]);
    }
#endif
}
