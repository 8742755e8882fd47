/* SPDX-License-Identifier: GPL-3.0-or-later
 * Dot products of SHARE rows of a matrix with ROWS vectors, along the row: each by LANES work-items, every number
 * of the matrix read once. A sum's order of additions does not depend on SHARE or ROWS. */
#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

#include "fetch.cl"

/* Outputs that share the loads of x, and vectors in flight */
#if ROWS == 1 || LANES > 1
#define SHARE 4
#else
#define SHARE 2
#endif
#define AHEAD (ROWS > 1) /* one vector is simple enough for the processor to read ahead by itself */

/* total[s * ROWS + r] = this lane's part of from[s] . with[r], k numbers; the matrix's next rows lie `next` on */
INLINE void dots(global const float *const *from, global const float *const *with, int k, int next, int lane,
                 float *total)
{
    floatv sum[SHARE][ROWS];
#pragma unroll
    for (int s = 0; s < SHARE; s++)
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            sum[s][r] = 0.0f;
#pragma unroll 4
    for (int p = lane * VEC; p + VEC <= k; p += LANES * VEC) {
        floatv xs[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            xs[r] = vloadv(0, with[r] + p);
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            floatv ws = vloadv(0, from[s] + p);
            if (AHEAD)
                FETCH(from[s] + next + p);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                sum[s][r] = fma(ws, xs[r], sum[s][r]);
        }
    }
#pragma unroll
    for (int s = 0; s < SHARE; s++)
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            total[s * ROWS + r] = sum_of_vector(sum[s][r]);
    for (int p = k / VEC * VEC + lane; p < k; p += LANES)
#pragma unroll
        for (int s = 0; s < SHARE; s++)
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                total[s * ROWS + r] = fma(from[s][p], with[r][p], total[s * ROWS + r]);
}
