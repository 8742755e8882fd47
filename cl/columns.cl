/* SPDX-License-Identifier: GPL-3.0-or-later
 * What recurrences with a state of N x N a head share: positions follow each other inside a group, which holds a block
 * of COLUMNS columns of the state. On a CPU that is at most MOST_VECS vectors, which stay in registers. For kernels
 * that include this file after they define MOST_VECS; N comes with -D. */
#if LANES == 1
#define VECS (VECTORS(N) < MOST_VECS ? VECTORS(N) : MOST_VECS)
#define COLUMNS (VECS * VEC)
#define FOR_VECS(c) _Pragma("unroll") for (int c = 0; c < VECS; c++)

/* Columns of a state that are kept */
static inline void keep_columns(global const float *restrict S, global float *restrict to, int rest)
{
    for (int i = 0; i < N; i++)
        FOR_VECS(c)
            store_some(load_some(S + i * N + c * VEC, rest - c * VEC), to + i * N + c * VEC, rest - c * VEC);
}
#else
#define COLUMNS LANES
#define POSITIONS (N > 64 ? 8 : 16) /* that a group takes into local memory at a time */
#define APART (N + 1)               /* spreads positions over the memory banks */

/* One head of some positions, which lie `stride` apart, into local memory */
static inline void take(local float *restrict to, global const float *restrict from, int count, int stride)
{
    FOR_LANE(e, count * N)
        to[e / N * APART + e % N] = from[e / N * stride + e % N];
}

static inline void get_column(float column[N], global const float *restrict from, int there)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        column[i] = there ? from[i * N] : 0.0f;
}

static inline void put_column(const float column[N], global float *restrict to)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        to[i * N] = column[i];
}
#endif
