/* SPDX-License-Identifier: GPL-3.0-or-later
 * What wkv6.cl and wkv6_backward.cl share: how a group goes through the positions of a head with a block of COLUMNS
 * columns of its state. */
#if LANES == 1
/* The sum of r_i u_i k_i over the keys */
static inline float bonus_of(global const float *restrict r, global const float *restrict u,
                             global const float *restrict k)
{
    floatv sum = 0.0f;
    for (int i = 0; i < N; i += VEC)
        sum += load_some(r + i, N - i) * load_some(u + i, N - i) * load_some(k + i, N - i);
    return sum_of_vector(sum);
}

#define VECS (VECTORS(N) < 8 ? VECTORS(N) : 8)
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

/* The sum of r_i u_i k_i over the keys for each of `count` positions */
static inline void take_bonuses(local float *restrict to, local const float *restrict rs,
                                global const float *restrict u, local const float *restrict ks, int count)
{
    FOR_LANE(p, count) {
        float sum = 0.0f;
        for (int i = 0; i < N; i++)
            sum += rs[p * APART + i] * u[i] * ks[p * APART + i];
        to[p] = sum;
    }
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
