/* SPDX-License-Identifier: GPL-3.0-or-later
 * A decoding step of time mix x051a, RWKV-5 and 6 from the linear layers' outputs to what the last one takes, for R
 * rows of one token, each with its own slot of the state:
 *     y = r (S + (u k)' v),  S <- diag(w) S + k' v,  out = (GroupNorm(y) weight + bias) silu(gate)
 * Per head, S N x N indexed [key, value]; w = exp(-exp(decay)) is
 *     DECAYS 0: one per head, as u is     1: the same, with u = exp(bonus)
 *     2: one per channel, as u is         3: of decay + x, which differs from row to row
 * S gets S (w - 1) added, so that what is close to 1 keeps its digits. N and DECAYS come with -D. */
#ifndef N
#define N 64
#define DECAYS 3
#endif
#include "head.cl"

/* e^x - 1 */
static inline floatv expm1_of(floatv x)
{
    floatv series =
        x * (1.0f +
             x * (1.0f / 2) *
                 (1.0f + x * (1.0f / 3) * (1.0f + x * (1.0f / 4) * (1.0f + x * (1.0f / 5) * (1.0f + x * (1.0f / 6))))));
    return select(exp_of(x) - 1.0f, series, fabs(x) < 0.35f);
}

/* y = again v + r S, S <- keep S + less S + k' v; less one number per key, or the first of them for all. */
INLINE void advance(global float *S, local const float *r, local const float *k, local const float *less, float keep,
                    float again, global const float *v, local float *y)
{
#if LANES == 1
    for (int j0 = 0; j0 < N; j0 += COLUMNS) {
        int rest = BLOCKS == 1 ? N : N - j0; /* known to the compiler where there is one block */
        floatv value[VECS], sum[VECS];
        FOR_VECS(c) {
            value[c] = load_some(v + j0 + c * VEC, rest - c * VEC);
            sum[c] = again * value[c];
        }
        for (int i = 0; i < N; i++) {
            global float *row = S + i * N + j0;
            floatv receptance = r[i], key = k[i], change = less[DECAYS < 2 ? 0 : i];
            FOR_VECS(c) {
                floatv old = load_some(row + c * VEC, rest - c * VEC);
                sum[c] = fma(receptance, old, sum[c]);
                store_some(fma(key, value[c], fma(change, old, keep * old)), row + c * VEC, rest - c * VEC);
            }
        }
        FOR_VECS(c)
            if (c * VEC < rest)
                vstorev(sum[c], 0, y + j0 + c * VEC);
    }
#else
    FOR_LANE(j, ROOM) {
        float value = j < N ? v[j] : 0.0f, sum = again * value;
        if (j < N) {
            for (int i = 0; i < N; i++) {
                float old = S[i * N + j];
                sum = fma(r[i], old, sum);
                S[i * N + j] = fma(k[i], value, fma(less[DECAYS < 2 ? 0 : i], old, keep * old));
            }
        }
        y[j] = sum;
    }
#endif
}

/* r, k, v, gate (or NULL), x (DECAYS 3), y [R,H*N]; decay, u [H] or [H*N]; weight, bias [H*N]; state [slots,stride],
 * a slot's [H,N,N]; slots [R]. Groups: shares of the R * H heads. */
kernel void wkv6_step(global const float *restrict r, global const float *restrict k, global const float *restrict v,
                      global const float *restrict gate, global const float *restrict decay,
                      global const float *restrict x, global const float *restrict u,
                      global const float *restrict weight, global const float *restrict bias,
                      global float *restrict state, global const int *restrict slots, global float *restrict y, int R,
                      int H, int stride, float eps)
{
    local float rs[ROOM], ks[ROOM], less[ROOM], out[ROOM], room[LANES];
    FOR_ROWS(unit, R * H) {
        int h = unit % H, at = unit * N, c = h * N;
        floatv products = 0.0f;
        float keep = 1.0f, mean;
#if DECAYS < 2
        float rate = exp(decay[h]), w = exp(-rate), bonus = DECAYS ? exp(u[h]) : u[h];
        keep = w > 0.5f ? 1.0f : 0.0f;
        if (LANE == 0)
            less[0] = w > 0.5f ? expm1(-rate) : w;
#endif
        FOR_HEAD_VECTORS(j)
        {
            int left = N - j;
            floatv receptance = LOAD(r + at + j, left), key = LOAD(k + at + j, left);
            vstorev(receptance, 0, rs + j);
            vstorev(key, 0, ks + j);
#if DECAYS < 2
            products += receptance * (bonus * key);
#else
            floatv d = LOAD(decay + c + j, left);
            if (DECAYS == 3)
                d += LOAD(x + at + j, left);
            vstorev(expm1_of(-exp_of(d)), 0, less + j);
            products += receptance * LOAD(u + c + j, left) * key;
#endif
        }
        float again = row_sum(sum_of_vector(products), room); /* after its barriers all lanes see rs, ks, less */
        advance(state + slots[unit / H] * stride + h * (N * N), rs, ks, less, keep, again, v + at, out);
        BARRIER();
        float scale = head_scale(out, room, eps, &mean);
        FOR_HEAD_VECTORS(j)
        {
            int left = N - j;
            floatv n = (vloadv(0, out + j) - mean) * scale * LOAD(weight + c + j, left) + LOAD(bias + c + j, left);
            if (gate) {
                floatv g = LOAD(gate + at + j, left);
                n *= g * sigmoid_of(g);
            }
            STORE(n, y + at + j, left);
        }
    }
}
