/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the decoding steps of recurrences with a state of N x N a head share: a head's vectors lie in local memory,
 * ROOM floats each, zeros beyond N. For kernels that include this file; N comes with -D. */
#define WIDTH N
#define PANEL 16
#include "tile.cl"

#define ROOM ROUND_UP(N, VEC)
#define FOR_HEAD_VECTORS(j) for (int j = LANE * VEC; j < N; j += LANES * VEC)

/* A row of the state comes in blocks of COLUMNS on a CPU, which stay in registers from key to key; else a column is a
 * lane's. */
#define BLOCKS ((VECTORS(N) + 7) / 8)
#define VECS ((VECTORS(N) + BLOCKS - 1) / BLOCKS)
#define COLUMNS (VECS * VEC)
#define FOR_VECS(c) _Pragma("unroll") for (int c = 0; c < VECS; c++)

/* GroupNorm of one head without its weight: *mean and what is returned give (y - mean) * scale. */
static inline float head_scale(local const float *y, local float *room, float eps, float *mean)
{
    floatv sum = 0.0f, squares = 0.0f;
    FOR_HEAD_VECTORS(j)
    sum += vloadv(0, y + j);
    float m = row_sum(sum_of_vector(sum), room) * (1.0f / N);
    FOR_HEAD_VECTORS(j)
    {
        floatv d = vloadv(0, y + j) - m;
#if N % VEC
        d = select((floatv)0.0f, d, counting(j) < (floatv)N);
#endif
        squares += d * d;
    }
    *mean = m;
    return rsqrt(row_sum(sum_of_vector(squares), room) * (1.0f / N) + eps);
}
