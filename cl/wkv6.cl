/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-5 and 6. Per head, S an N x N state indexed [key, value], the decay w along its keys:
 *     y_t = r_t (S + (u k_t)' v_t),   S <- diag(w_t) S + k_t' v_t
 * r, k, v, y [B,T,H*N], u [H*N], state [B,H,N,N]. The decay comes as `change` = w - 1: S + change S loses nothing where
 * w is close to 1. It is fixed, [H*N], or varies with the position, [B,T,H*N].
 * Positions follow each other inside a group, which holds a block of the state's value columns. N comes with -D. */
#ifndef N
#define N 64
#endif
#include "wkv6_bonus.cl"

/* e^x - 1 */
static inline floatv expm1_of(floatv x)
{
    floatv series =
        x * (1.0f +
             x * (1.0f / 2) *
                 (1.0f + x * (1.0f / 3) * (1.0f + x * (1.0f / 4) * (1.0f + x * (1.0f / 5) * (1.0f + x * (1.0f / 6))))));
    return select(exp_of(x) - 1.0f, series, fabs(x) < 0.35f);
}

/* change = exp(-exp(decay + x)) - 1, rows of C floats; decay [C], x NULL or [R,C], which change may be. */
kernel void wkv6_change(global const float *restrict decay, global const float *x, global float *change, int R, int C)
{
    FOR_ROWS(row, R) {
        FOR_LANE_VECTORS(i, C) {
            int left = C - i;
            floatv d = load_some(decay + i, left);
            if (x)
                d += load_some(x + row * C + i, left);
            store_some(expm1_of(-exp_of(d)), change + row * C + i, left);
        }
    }
}

/* RWKV-5.1 has one number per head of each: change = exp(-exp(decay)) - 1, bonus = exp(first), [H] to [H*N]. */
kernel void wkv6_heads(global const float *restrict decay, global const float *restrict first,
                       global float *restrict change, global float *restrict bonus, int H)
{
    FOR_ROWS(h, H) {
        floatv c = expm1_of(-exp_of((floatv)decay[h])), u = exp_of((floatv)first[h]);
        FOR_LANE_VECTORS(i, N) {
            store_some(c, change + h * N + i, N - i);
            store_some(u, bonus + h * N + i, N - i);
        }
    }
}

/* Groups: blocks of COLUMNS values, B*H. `varies`: change is of each position. kept [B*H,ceil(T / every),N,N], or NULL:
 * the state before every `every` positions, a multiple of POSITIONS. */
kernel void wkv6_forward(global const float *restrict r, global const float *restrict k, global const float *restrict v,
                         global const float *restrict change, global const float *restrict u,
                         global float *restrict state, global float *restrict y, global float *restrict kept, int every,
                         int T, int H, int varies)
{
    int bh = (int)get_group_id(1), j0 = (int)get_group_id(0) * COLUMNS, stride = H * N;
    int base = bh / H * T * stride + bh % H * N;
    global float *S = state + bh * (N * N);
    kept = kept ? kept + bh * ((T + every - 1) / every) * (N * N) : 0;
    change += varies ? base : bh % H * N;
    u += bh % H * N;
#if LANES == 1
    int rest = N <= COLUMNS ? N : N - j0; /* known to the compiler where there is one block */
    for (int t = 0; t < T; t++) {
        int at = base + t * stride;
        global const float *rs = r + at, *ks = k + at, *cs = change + (varies ? t * stride : 0);
        float bonus = bonus_of(rs, u, ks);
        if (kept && t % every == 0)
            keep_columns(S + j0, kept + t / every * (N * N) + j0, rest);
        floatv value[VECS], sum[VECS];
        FOR_VECS(c) {
            value[c] = load_some(v + at + j0 + c * VEC, rest - c * VEC);
            sum[c] = bonus * value[c];
        }
        for (int i = 0; i < N; i++) {
            global float *row = S + i * N + j0;
            float receptance = rs[i], key = ks[i], less = cs[i];
            FOR_VECS(c) {
                floatv old = load_some(row + c * VEC, rest - c * VEC);
                sum[c] = fma((floatv)receptance, old, sum[c]);
                store_some(fma((floatv)key, value[c], fma((floatv)less, old, old)), row + c * VEC, rest - c * VEC);
            }
        }
        FOR_VECS(c)
            store_some(sum[c], y + at + j0 + c * VEC, rest - c * VEC);
    }
#else
    local float rs[POSITIONS * APART], ks[POSITIONS * APART], cs[POSITIONS * APART], bonus[POSITIONS];
    int j = min(j0 + LANE, N - 1), mine = j0 + LANE < N; /* who has no column computes with an empty one */
    float column[N];
    get_column(column, S + j, mine);
    for (int t0 = 0; t0 < T; t0 += POSITIONS) {
        int count = min(POSITIONS, T - t0);
        if (kept && mine && t0 % every == 0)
            put_column(column, kept + t0 / every * (N * N) + j);
        barrier(CLK_LOCAL_MEM_FENCE);
        take(rs, r + base + t0 * stride, count, stride);
        take(ks, k + base + t0 * stride, count, stride);
        take(cs, change + (varies ? t0 * stride : 0), count, varies ? stride : 0);
        barrier(CLK_LOCAL_MEM_FENCE);
        take_bonuses(bonus, rs, u, ks, count);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = 0; p < count; p++) {
            int at = base + (t0 + p) * stride + j;
            float value = v[at], sum = bonus[p] * value;
#pragma unroll
            for (int i = 0; i < N; i++) {
                sum = fma(rs[p * APART + i], column[i], sum);
                column[i] = fma(ks[p * APART + i], value, fma(cs[p * APART + i], column[i], column[i]));
            }
            if (mine)
                y[at] = sum;
        }
    }
    if (mine)
        put_column(column, S + j);
#endif
}
