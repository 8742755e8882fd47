/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrence of RWKV-5 and 6 (wkv6.cl). With S the state before position t and G the gradient of the
 * one after it:
 *     dr = S dy + u k (v.dy),  dk = G v + u r (v.dy),  dv = k G + (r.u k) dy,  dw = sum over values of G S,
 *     du = sum over t of r k (v.dy),  before t: G <- diag(w) G + r' dy
 * First the values, position by position from the last to the first: dv, and G after every chunk of CHUNK positions.
 * Then the keys, all chunks at once: with T and D the state before a chunk and the gradient after it, all that a key
 * needs of its row of S and G are the numbers
 *     X_t = row of S . dy_t,  f_s = row of D . v_s,  Y = row of S . row of D   and   M_ts = dy_t . v_s,
 * X, Y beginning at T. They move on with S -> w S + k v, and sums over later positions are nested, from the end:
 * decays are multiplied alone, never divided by. N comes with -D. */
#ifndef N
#define N 64
#endif
#include "wkv6_bonus.cl"
#define CHUNK 16 /* MR_WKV6_CHUNK */

/* In place: dchange becomes the gradient of x in change = exp(-exp(decay + x)) - 1, rows of C floats; decay [C], x NULL
 * or [R,C]. */
kernel void wkv6_change_backward(global const float *restrict decay, global const float *restrict x,
                                 global float *restrict dchange, int R, int C)
{
    FOR_ROWS(row, R) {
        FOR_LANE_VECTORS(i, C) {
            int left = C - i;
            floatv d = load_some(decay + i, left);
            if (x)
                d += load_some(x + row * C + i, left);
            floatv rate = exp_of(fmin(d, 80.0f));
            store_some(load_some(dchange + row * C + i, left) * -rate * exp_of(-rate), dchange + row * C + i, left);
        }
    }
}

/* RWKV-5.1's one number per head of each: ddecay and dfirst [H] get the sums over their heads of dchange and du
 * [H*N]. */
kernel void wkv6_heads_backward(global const float *restrict decay, global const float *restrict first,
                                global const float *restrict dchange, global const float *restrict du,
                                global float *restrict ddecay, global float *restrict dfirst, int H)
{
    local float room[LANES];
    FOR_ROWS(h, H) {
        floatv change = 0.0f, bonus = 0.0f;
        FOR_LANE_VECTORS(i, N) {
            change += load_some(dchange + h * N + i, N - i);
            bonus += load_some(du + h * N + i, N - i);
        }
        float changes = row_sum(sum_of_vector(change), room), bonuses = row_sum(sum_of_vector(bonus), room);
        if (LANE == 0) {
            float rate = exp(fmin(decay[h], 80.0f));
            ddecay[h] -= changes * rate * exp(-rate);
            dfirst[h] += bonuses * exp(first[h]);
        }
    }
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* dv is written; dstate [B*H,N,N] goes from the end of the texts to their start; ends [B*H,chunks,N,N] gets it after
 * each chunk. Groups: blocks of COLUMNS values, B*H. `varies`: change is of each position. */
kernel void wkv6_backward_values(global const float *restrict r, global const float *restrict k,
                                 global const float *restrict change, global const float *restrict u,
                                 global const float *restrict dy, global float *restrict dv,
                                 global float *restrict dstate, global float *restrict ends, int T, int H, int varies)
{
    int bh = (int)get_group_id(1), j0 = (int)get_group_id(0) * COLUMNS, stride = H * N;
    int base = bh / H * T * stride + bh % H * N;
    global float *G = dstate + bh * (N * N);
    ends += bh * ((T + CHUNK - 1) / CHUNK) * (N * N);
    change += varies ? base : bh % H * N;
    u += bh % H * N;
#if LANES == 1
    int rest = N <= COLUMNS ? N : N - j0; /* known to the compiler where there is one block */
    for (int t = T - 1; t >= 0; t--) {
        int at = base + t * stride;
        global const float *rs = r + at, *ks = k + at, *cs = change + (varies ? t * stride : 0);
        global float *end = ends + t / CHUNK * (N * N) + j0;
        int keep = t == T - 1 || t % CHUNK == CHUNK - 1;
        float bonus = bonus_of(rs, u, ks);
        floatv d[VECS], sum[VECS];
        FOR_VECS(c) {
            d[c] = load_some(dy + at + j0 + c * VEC, rest - c * VEC);
            sum[c] = bonus * d[c];
        }
        for (int i = 0; i < N; i++) {
            global float *row = G + i * N + j0;
            float receptance = rs[i], key = ks[i], less = cs[i];
            FOR_VECS(c) {
                floatv old = load_some(row + c * VEC, rest - c * VEC);
                if (keep)
                    store_some(old, end + i * N + c * VEC, rest - c * VEC);
                sum[c] = fma((floatv)key, old, sum[c]);
                store_some(fma((floatv)receptance, d[c], fma((floatv)less, old, old)), row + c * VEC, rest - c * VEC);
            }
        }
        FOR_VECS(c)
            store_some(sum[c], dv + at + j0 + c * VEC, rest - c * VEC);
    }
#else
    local float rs[POSITIONS * APART], ks[POSITIONS * APART], cs[POSITIONS * APART], bonus[POSITIONS];
    int j = min(j0 + LANE, N - 1), mine = j0 + LANE < N; /* who has no column computes with an empty one */
    float column[N];
    get_column(column, G + j, mine);
    for (int t0 = (T - 1) / POSITIONS * POSITIONS; t0 >= 0; t0 -= POSITIONS) {
        int count = min(POSITIONS, T - t0);
        if (mine && (t0 + count == T || (t0 + count) % CHUNK == 0))
            put_column(column, ends + t0 / CHUNK * (N * N) + j);
        barrier(CLK_LOCAL_MEM_FENCE);
        take(rs, r + base + t0 * stride, count, stride);
        take(ks, k + base + t0 * stride, count, stride);
        take(cs, change + (varies ? t0 * stride : 0), count, varies ? stride : 0);
        barrier(CLK_LOCAL_MEM_FENCE);
        take_bonuses(bonus, rs, u, ks, count);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = count - 1; p >= 0; p--) {
            int at = base + (t0 + p) * stride + j;
            float d = dy[at], sum = bonus[p] * d;
#pragma unroll
            for (int i = 0; i < N; i++) {
                sum = fma(ks[p * APART + i], column[i], sum);
                column[i] = fma(rs[p * APART + i], d, fma(cs[p * APART + i], column[i], column[i]));
            }
            if (mine)
                dv[at] = sum;
        }
    }
    if (mine)
        put_column(column, G + j);
#endif
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

/* A lane takes a vector of keys where it is alone, else one. */
#if LANES == 1
typedef floatv keys;
#define KEYS VEC
#define SHARED
#define FOR_POSITIONS(t, from) for (int t = (from); t < CHUNK; t++)
#define FOR_LATER(t, from) for (int t = CHUNK - 1; t > (from); t--)
#define load_keys load_some
#define store_keys store_some
#else
typedef float keys;
#define KEYS 1
#define SHARED local
#define FOR_POSITIONS(t, from) _Pragma("unroll") for (int t = (from); t < CHUNK; t++)
#define FOR_LATER(t, from) _Pragma("unroll") for (int t = CHUNK - 1; t > (from); t--)
#define load_keys(p, n) (*(p))
#define store_keys(v, p, n) (*(p) = (v))
#endif

/* to[t] = rows of A [N,N], from the first of some keys on, times row t of x; rows beyond `count` are not looked at. */
static inline void project(global const float *restrict x, int count, int stride, global const float *restrict A,
                           int left, keys *to)
{
    for (int e = 0; e < KEYS; e++) {
        floatv sum[CHUNK];
        FOR_POSITIONS(t, 0)
        sum[t] = 0.0f;
        for (int j = 0; j < N; j += VEC) {
            floatv row = e < left ? load_some(A + e * N + j, N - j) : 0.0f;
            FOR_POSITIONS(t, 0)
            sum[t] += row * load_some(x + min(t, count - 1) * stride + j, N - j);
        }
        FOR_POSITIONS(t, 0)
        ((float *)(to + t))[e] = sum_of_vector(sum[t]);
    }
}

/* Y of some keys */
static inline keys rows_product(global const float *restrict A, global const float *restrict B, int left)
{
    keys to;
    for (int e = 0; e < KEYS; e++) {
        floatv sum = 0.0f;
        for (int j = 0; j < N && e < left; j += VEC)
            sum += load_some(A + e * N + j, N - j) * load_some(B + e * N + j, N - j);
        ((float *)&to)[e] = sum_of_vector(sum);
    }
    return to;
}

/* kept and ends [B*H,chunks,N,N]: T and D. dr, dk and, if the decay varies, dchange are written; partial
 * [B*chunks,1,H*N] gets the sums over the chunk for u, or [B*chunks,2,H*N] those for u and for the fixed change.
 * Groups: chunks, B*H. */
kernel void wkv6_backward_keys(global const float *restrict r, global const float *restrict k,
                               global const float *restrict v, global const float *restrict change,
                               global const float *restrict u, global const float *restrict kept,
                               global const float *restrict ends, global const float *restrict dy,
                               global float *restrict dr, global float *restrict dk, global float *restrict dchange,
                               global float *restrict partial, int T, int H, int varies)
{
    SHARED float M[CHUNK * CHUNK];
    int chunk = (int)get_group_id(0), chunks = (int)get_num_groups(0), bh = (int)get_group_id(1), stride = H * N;
    int count = min(CHUNK, T - chunk * CHUNK), base = (bh / H * T + chunk * CHUNK) * stride + bh % H * N;
    int row = (bh / H * chunks + chunk) * (varies ? 1 : 2) * stride + bh % H * N;
    kept += (bh * chunks + chunk) * (N * N);
    ends += (bh * chunks + chunk) * (N * N);
    FOR_LANE(at, CHUNK * CHUNK) {
        int t = at / CHUNK, s = at % CHUNK;
        floatv sum = 0.0f;
        if (s <= t && t < count)
            for (int j = 0; j < N; j += VEC)
                sum += load_some(dy + base + t * stride + j, N - j) * load_some(v + base + s * stride + j, N - j);
        M[at] = sum_of_vector(sum);
    }
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    for (int i = LANE * KEYS; i < N; i += LANES * KEYS) {
        int left = N - i;
        keys rs[CHUNK], ks[CHUNK], less[CHUNK], X[CHUNK], f[CHUNK];
        keys bonus = load_keys(u + bh % H * N + i, left), du = 0.0f, fixed = 0.0f;
        FOR_POSITIONS(t, 0)
        {
            int at = base + min(t, count - 1) * stride + i;
            rs[t] = t < count ? load_keys(r + at, left) : 0.0f;
            ks[t] = t < count ? load_keys(k + at, left) : 0.0f;
            less[t] = t < count ? load_keys(change + (varies ? at : bh % H * N + i), left) : 0.0f;
        }
        project(dy + base, count, stride, kept + i * N, left, X);
        project(v + base, count, stride, ends + i * N, left, f);
        keys Y = rows_product(kept + i * N, ends + i * N, left);
        FOR_POSITIONS(t, 0)
        {
            keys dkey = f[t], dw = Y, same = M[t * CHUNK + t];
            FOR_LATER(s, t)
            {
                dkey = fma(rs[s], (keys)M[s * CHUNK + t], fma(less[s], dkey, dkey));
                dw = fma(rs[s], X[s], fma(less[s], dw, dw));
            }
            if (t < count) {
                int at = base + t * stride + i;
                store_keys(fma(bonus * ks[t], same, X[t]), dr + at, left);
                store_keys(fma(bonus * rs[t], same, dkey), dk + at, left);
                if (varies)
                    store_keys(dw, dchange + at, left);
                else
                    fixed += dw;
            }
            du = fma(rs[t] * ks[t], same, du);
            FOR_LATER(s, t)
            X[s] = fma(ks[t], (keys)M[s * CHUNK + t], fma(less[t], X[s], X[s]));
            Y = fma(ks[t], f[t], fma(less[t], Y, Y));
        }
        store_keys(du, partial + row + i, left);
        if (!varies)
            store_keys(fixed, partial + row + stride + i, left);
    }
}
