/* SPDX-License-Identifier: GPL-3.0-or-later
 * The bonus of the position at hand, for wkv6.cl and wkv6_backward.cl. */
#define MOST_VECS 8
#include "columns.cl"

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
#else
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
#endif
