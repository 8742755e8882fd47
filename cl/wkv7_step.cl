/* SPDX-License-Identifier: GPL-3.0-or-later
 * A decoding step of RWKV-7's time mix from the linear layers' outputs to what the last one takes, for R rows of one
 * token, each with its own slot of the state. Per head, S N x N indexed [key, value]:
 *     kappa = k k_k / |k k_k|,  rate = sigmoid(a),  w = exp(-e^-1/2 sigmoid(w)),  k <- k (1 + (rate - 1) k_a),
 *     v <- v + (v_first - v) sigmoid(share), where v_first is given,
 *     S <- diag(w) S - (kappa rate)' (kappa S) + k' v,  y = r S,
 *     out = (GroupNorm(y) weight + bias + (sum of r k r_k) v) g
 * N comes with -D. */
#ifndef N
#define N 64
#endif
#include "head.cl"

#define SLOWEST -0.60653066f /* -e^-1/2: the logarithm of the fastest decay */

/* e^x - 1 for x from -0.61 to 0, to 2e-8 of itself: the series */
static inline floatv small_expm1(floatv x)
{
    floatv sum = 1.0f + x * (1.0f / 8);
#pragma unroll
    for (int n = 7; n > 1; n--)
        sum = 1.0f + x * (1.0f / n) * sum;
    return x * sum;
}

struct head {
    local float *r, *change, *k, *v, *kappa, *removal;
};

/* S moves on; y = r S of the new one. */
INLINE void advance(global float *S, struct head in, local float *y)
{
#if LANES == 1
    for (int j0 = 0; j0 < N; j0 += COLUMNS) {
        int rest = BLOCKS == 1 ? N : N - j0; /* known to the compiler where there is one block */
        floatv removed[VECS], value[VECS], sum[VECS];
        FOR_VECS(c) {
            removed[c] = sum[c] = 0.0f;
            value[c] = c * VEC < rest ? vloadv(0, in.v + j0 + c * VEC) : 0.0f;
        }
        for (int i = 0; i < N; i++) {
            floatv along = in.kappa[i];
            FOR_VECS(c)
                removed[c] = fma(along, load_some(S + i * N + j0 + c * VEC, rest - c * VEC), removed[c]);
        }
        for (int i = 0; i < N; i++) {
            global float *row = S + i * N + j0;
            floatv less = in.change[i], key = in.k[i], out = -in.removal[i], receptance = in.r[i];
            FOR_VECS(c) {
                floatv old = load_some(row + c * VEC, rest - c * VEC);
                floatv new = old + fma(key, value[c], fma(out, removed[c], less * old));
                store_some(new, row + c * VEC, rest - c * VEC);
                sum[c] = fma(receptance, new, sum[c]);
            }
        }
        FOR_VECS(c)
            if (c * VEC < rest)
                vstorev(sum[c], 0, y + j0 + c * VEC);
    }
#else
    FOR_LANE(j, ROOM) {
        float sum = 0.0f, removed = 0.0f, value = in.v[j];
        if (j < N) {
            for (int i = 0; i < N; i++)
                removed = fma(in.kappa[i], S[i * N + j], removed);
            for (int i = 0; i < N; i++) {
                float old = S[i * N + j];
                float new = old + fma(in.k[i], value, fma(-in.removal[i], removed, in.change[i] * old));
                S[i * N + j] = new;
                sum = fma(in.r[i], new, sum);
            }
        }
        y[j] = sum;
    }
#endif
}

/* r, w, a, k, v, v_first and share (both NULL in the first layer), g, y [R,H*N]; k_k, k_a, r_k, weight, bias [H*N];
 * state [slots,stride], a slot's [H,N,N]; slots [R]. Groups: shares of the R * H heads. */
kernel void wkv7_step(global const float *restrict r, global const float *restrict w, global const float *restrict a,
                      global const float *restrict k, global const float *restrict v,
                      global const float *restrict v_first, global const float *restrict share,
                      global const float *restrict g, global const float *restrict k_k,
                      global const float *restrict k_a, global const float *restrict r_k,
                      global const float *restrict weight, global const float *restrict bias,
                      global float *restrict state, global const int *restrict slots, global float *restrict y, int R,
                      int H, int stride, float eps)
{
    local float rs[ROOM], changes[ROOM], ks[ROOM], vs[ROOM], kappas[ROOM], removals[ROOM], out[ROOM], room[LANES];
    struct head in = {rs, changes, ks, vs, kappas, removals};
    FOR_ROWS(unit, R * H) {
        int h = unit % H, at = unit * N, c = h * N;
        floatv squares = 0.0f, products = 0.0f;
        float mean;
        FOR_HEAD_VECTORS(j)
        {
            floatv along = LOAD(k + at + j, N - j) * LOAD(k_k + c + j, N - j);
            squares += along * along;
        }
        float length = 1.0f / fmax(sqrt(row_sum(sum_of_vector(squares), room)), 1e-12f);
        FOR_HEAD_VECTORS(j)
        {
            int left = N - j;
            floatv key = LOAD(k + at + j, left), rate = sigmoid_of(LOAD(a + at + j, left));
            floatv along = key * LOAD(k_k + c + j, left) * length, value = LOAD(v + at + j, left);
            floatv receptance = LOAD(r + at + j, left);
            key += key * (rate - 1.0f) * LOAD(k_a + c + j, left);
            if (v_first)
                value += (LOAD(v_first + at + j, left) - value) * sigmoid_of(LOAD(share + at + j, left));
            vstorev(receptance, 0, rs + j);
            vstorev(small_expm1(SLOWEST * sigmoid_of(LOAD(w + at + j, left))), 0, changes + j);
            vstorev(key, 0, ks + j);
            vstorev(value, 0, vs + j);
            vstorev(along, 0, kappas + j);
            vstorev(along * rate, 0, removals + j);
            products += receptance * key * LOAD(r_k + c + j, left);
        }
        float again = row_sum(sum_of_vector(products), room); /* after its barriers all lanes see the vectors */
        advance(state + slots[unit / H] * stride + h * (N * N), in, out);
        BARRIER();
        float scale = head_scale(out, room, eps, &mean);
        FOR_HEAD_VECTORS(j)
        {
            int left = N - j;
            floatv n = (vloadv(0, out + j) - mean) * scale * LOAD(weight + c + j, left) + LOAD(bias + c + j, left);
            STORE((n + again * vloadv(0, vs + j)) * LOAD(g + at + j, left), y + at + j, left);
        }
    }
}
