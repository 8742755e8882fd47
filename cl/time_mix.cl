/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of time mix x051a, per head with w = exp(-exp(decay)) and u = faaaa:
 *     y_t = r_t (S_t + u k_t' v_t),  S_{t+1} = w S_t + k_t' v_t   (S is N x N, [key, value])
 * in chunks of CHUNK positions. With S the state before a chunk of L positions, t and s counted in it:
 *     y_t = w^t r_t S + sum_{s<t} w^(t-1-s) (r_t.k_s) v_s + u (r_t.k_t) v_t
 *     S after = w^L S + sum_s w^(L-1-s) k_s' v_s
 * Powers are exp(-exp(decay) n), never quotients. r, k, v, y are [B,T,H*N]; decay and faaaa [H]; `states` holds the
 * state before each chunk, [B*H,chunks,N,N] and 32 floats more (the last tile of a row may reach beyond it).
 * N, CHUNK and PANEL come with -D. */
#ifndef N
#define N 32
#define CHUNK 64
#define PANEL 32
#endif
#define WIDTH N
#include "tile.cl"

#define DEPTH ROUND_UP(N, VEC)
#define PANEL_ROWS (DEPTH > CHUNK ? DEPTH : CHUNK)
#define SCORES (CHUNK + (LANES > 1 ? 4 : 0)) /* floats from row to row of a chunk's products */

/* The weight of position s for position t: weight[CHUNK + s - t] = w^(t-1-s) for s < t, u for s = t, else 0, so that
 * a row of weights lies in order; and w^n = weight[CHUNK - 1 - n]. Of 2 CHUNK floats. */
INLINE void fill_weights(local float *weight, float decay, float faaaa)
{
    float rate = exp(decay);
    for (int i = LANE * VEC; i < 2 * CHUNK; i += LANES * VEC) {
        floatv n = (float)(CHUNK - 1) - counting(i);
        floatv w = exp(-rate * max(n, 0.0f));
        w = select((floatv)0.0f, w, n >= 0.0f);
        vstorev(select(w, (floatv)faaaa, n == -1.0f), 0, weight + i);
    }
    BARRIER();
}

/* Adds up chunks: with the states, a = k, b = v and position s weighs w^(L-1-s); with `reverse` a = r, b = dy,
 * chunks are taken from the last to the first, position t weighs w^t, and `states` gets the gradient of the state
 * after each chunk. Groups: panels of value columns, chunks (or 1: `together`), B*H. Together, a group runs
 * through all chunks from `state` [B*H,N,N] (NULL: 0) and leaves it advanced; else each chunk's own sum is written and
 * time_mix_scan adds them up. */
kernel void time_mix_states(global const float *restrict a, global const float *restrict b,
                            global const float *restrict decay, global float *state, global float *states, int T, int H,
                            int chunks, int together, int reverse)
{
    local float panel[CHUNK * PANEL_STRIDE], weight[2 * CHUNK];
    int j0 = (int)get_group_id(0) * PANEL, bh = (int)get_group_id(2), stride = H * N;
    int base = bh / H * T * stride + bh % H * N;
    global float *all = states + bh * chunks * (N * N), *end = state ? state + bh * (N * N) : 0;
    fill_weights(weight, decay[bh % H], 0.0f);
    int first = together ? 0 : (int)get_group_id(1), last = together ? chunks : first + 1;
    if (together) {
        global float *to = all + (reverse ? chunks - 1 : 0) * (N * N);
        for (int at = LANE; at < N * (PANEL / VEC); at += LANES) {
            int i = at / (PANEL / VEC), j = j0 + at % (PANEL / VEC) * VEC;
            if (j < N)
                STORE(end ? LOAD(end + i * N + j, N - j) : 0.0f, to + i * N + j, N - j);
        }
    }
    GLOBAL_BARRIER(); /* other lanes go on from there */
    for (int step = first; step < last; step++) {
        int chunk = reverse && together ? chunks - 1 - step : step, start = chunk * CHUNK;
        int length = min(CHUNK, T - start), final = together && step == chunks - 1;
        if (final && !end)
            break;
        global const float *left = a + base + start * stride, *right = b + base + start * stride + j0;
        global const float *before = all + chunk * (N * N);
        global float *after = final ? end : all + (chunk + (together ? reverse ? -1 : 1 : 0)) * (N * N);
        float kept = exp(-exp(decay[bh % H]) * (float)length);
        BARRIER();
        PACK_ROWS(panel, length, length, N - j0, right + pr * stride,
                  weight[CHUNK - 1 - (reverse ? pr : length - 1 - pr)]);
        BARRIER();
        FOR_TILES(i0, col, 0, N) {
            int j = j0 + col;
            if (j >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, 0, length, left[ti * stride + (N % TILE_ROWS ? min(i0 + tr, N - 1) : i0 + tr)],
                         panel + ti * PANEL_STRIDE + col);
            FOR_TILE(r, c) {
                int at = (i0 + r) * N + j + c * VEC;
                if (i0 + r < N && j + c * VEC < N) {
                    if (together)
                        sum[r][c] += kept * LOAD(before + at, N - j - c * VEC);
                    STORE(sum[r][c], after + at, N - j - c * VEC);
                }
            }
        }
    }
}

/* The sums of chunks become the states before each: from `state` (NULL: 0), which is left advanced; with `reverse`
 * from the last chunk to the first. Groups: blocks of N*N, B*H. */
kernel void time_mix_scan(global const float *restrict decay, global float *restrict state,
                          global float *restrict states, int T, int H, int chunks, int reverse)
{
    int bh = (int)get_group_id(1);
    float rate = exp(decay[bh % H]);
    global float *all = states + bh * chunks * (N * N);
    for (int at = (int)get_global_id(0) * VEC; at < N * N; at += (int)get_global_size(0) * VEC) {
        floatv sum = state ? LOAD(state + bh * (N * N) + at, N * N - at) : 0.0f;
        for (int step = 0; step < chunks; step++) {
            int chunk = reverse ? chunks - 1 - step : step;
            float kept = exp(-rate * (float)min(CHUNK, T - chunk * CHUNK));
            floatv own = LOAD(all + chunk * (N * N) + at, N * N - at);
            STORE(sum, all + chunk * (N * N) + at, N * N - at);
            sum = kept * sum + own;
        }
        if (state)
            STORE(sum, state + bh * (N * N) + at, N * N - at);
    }
}

/* scores[t][s] = a_t.b_s for the tiles that touch s <= t: a, b the first of `length` rows of N floats. */
INLINE void products(local float *restrict scores, local float *restrict panel, global const float *restrict a,
                     global const float *restrict b, int length, int stride)
{
    for (int s0 = 0; s0 < length; s0 += PANEL) {
        BARRIER();
        PACK_TRANSPOSED(panel, length - s0, N, b + (s0 + pr) * stride);
        BARRIER();
        FOR_TILES(t0, col, s0, length) {
            floatv sum[TILE_ROWS][TILE_VECS];
            global const float *rows[TILE_ROWS];
            FOR_TILE_ROWS(r)
                rows[r] = a + min(t0 + r, length - 1) * stride;
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, 0, N, rows[tr][ti], panel + ti * PANEL_STRIDE + col);
            FOR_TILE(r, c)
                vstorev(sum[r][c], c, scores + (t0 + r) * SCORES + s0 + col);
        }
    }
    BARRIER();
}

/* scores[t][s] *= the weight of s for t. */
INLINE void weigh(local float *restrict scores, local const float *restrict weight, int length)
{
    for (int at = LANE; at < length * (CHUNK / VEC); at += LANES) {
        int t = at / (CHUNK / VEC), s = at % (CHUNK / VEC) * VEC;
        if (s <= t)
            vstorev(vloadv(0, scores + t * SCORES + s) * vloadv(0, weight + CHUNK - t + s), 0, scores + t * SCORES + s);
    }
    BARRIER();
}

/* y of one chunk. states NULL: one chunk without a state; a state before the first chunk counts if `carried`.
 * Groups: chunks, B*H. */
kernel void time_mix_forward(global const float *restrict r, global const float *restrict k,
                             global const float *restrict v, global const float *restrict decay,
                             global const float *restrict faaaa, global const float *restrict states,
                             global float *restrict y, int T, int H, int chunks, int carried)
{
    local float scores[CHUNK * SCORES], panel[PANEL_ROWS * PANEL_STRIDE], weight[2 * CHUNK];
    int chunk = (int)get_group_id(0), bh = (int)get_group_id(1), stride = H * N, start = chunk * CHUNK;
    int base = (bh / H * T + start) * stride + bh % H * N, length = min(CHUNK, T - start);
    global const float *state = states && (chunk > 0 || carried) ? states + (bh * chunks + chunk) * (N * N) : 0;
    fill_weights(weight, decay[bh % H], faaaa[bh % H]);
    products(scores, panel, r + base, k + base, length, stride);
    weigh(scores, weight, length);
    for (int j0 = 0; j0 < N; j0 += PANEL) {
        BARRIER();
        PACK_ROWS(panel, length, length, N - j0, v + base + pr * stride + j0, 1.0f);
        BARRIER();
        FOR_TILES(t0, col, 0, length) {
            int j = j0 + col, rows = min(TILE_ROWS, length - t0);
            if (j >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            TILE_ZERO(sum);
            if (state) {
                global const float *from[TILE_ROWS];
                FOR_TILE_ROWS(i)
                    from[i] = r + base + min(t0 + i, length - 1) * stride;
                TILE_PRODUCT(sum, 0, N, from[tr][ti], state + ti * N + j);
                FOR_TILE(i, c)
                    sum[i][c] *= weight[max(CHUNK - 1 - t0 - i, 0)];
            }
            TILE_PRODUCT(sum, 0, t0 + rows, scores[(t0 + tr) * SCORES + ti], panel + ti * PANEL_STRIDE + col);
            FOR_TILE(i, c)
                if (i < rows && j + c * VEC < N)
                    STORE(sum[i][c], y + base + (t0 + i) * stride + j + c * VEC, N - j - c * VEC);
        }
    }
}

/* scores holds p[t][s] = weight * r_t.k_s and becomes weight * q[t][s], q[t][s] = dy_t.v_s = a_t.b_s. Gives this lane's
 * part of sum_{s<t} (t-1-s) p q; `diagonal` holds r_t.k_t and becomes (r_t.k_t) q[t][t]. */
INLINE float second_products(local float *restrict scores, local float *restrict panel,
                             local const float *restrict weight, local float *restrict diagonal,
                             global const float *restrict a, global const float *restrict b, int length, int stride)
{
    floatv slope = 0.0f;
    for (int s0 = 0; s0 < length; s0 += PANEL) {
        BARRIER();
        PACK_TRANSPOSED(panel, length - s0, N, b + (s0 + pr) * stride);
        BARRIER();
        FOR_TILES(t0, col, s0, length) {
            floatv sum[TILE_ROWS][TILE_VECS];
            global const float *rows[TILE_ROWS];
            FOR_TILE_ROWS(r)
                rows[r] = a + min(t0 + r, length - 1) * stride;
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, 0, N, rows[tr][ti], panel + ti * PANEL_STRIDE + col);
            FOR_TILE(r, c) {
                int t = t0 + r, s = s0 + col + c * VEC;
                if (s > t || t >= length)
                    continue;
                local float *at = scores + t * SCORES + s;
                slope += max((float)(t - 1) - counting(s), 0.0f) * (vloadv(0, at) * sum[r][c]);
                if (t < s + VEC) {
                    vstorev(sum[r][c], 0, at);
                    diagonal[t] *= scores[t * SCORES + t];
                }
                vstorev(sum[r][c] * vloadv(0, weight + CHUNK - t + s), 0, at);
            }
        }
    }
    BARRIER();
    return sum_of_vector(slope);
}

/* out[t] = w^t a_t M' for the rows of a chunk (with `reverse` w^(L-1-t)): the gradient by way of the state, M [N,N].
 * Gives this lane's part of sum_t n (x_t.out_t), n the power of w. */
INLINE float through_state(global float *restrict out, local float *restrict panel, local const float *restrict weight,
                           global const float *restrict a, global const float *restrict x,
                           global const float *restrict state, int length, int stride, int reverse)
{
    floatv slope = 0.0f;
    for (int i0 = 0; i0 < N; i0 += PANEL) {
        BARRIER();
        PACK_TRANSPOSED(panel, N - i0, N, state + (i0 + pr) * N);
        BARRIER();
        FOR_TILES(t0, col, 0, length) {
            int i = i0 + col;
            if (i >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            global const float *rows[TILE_ROWS];
            FOR_TILE_ROWS(r)
                rows[r] = a + min(t0 + r, length - 1) * stride;
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, 0, N, rows[tr][ti], panel + ti * PANEL_STRIDE + col);
            FOR_TILE(r, c) {
                int at = (t0 + r) * stride + i + c * VEC, rest = N - i - c * VEC;
                if (t0 + r >= length || rest <= 0)
                    continue;
                int n = reverse ? length - 1 - t0 - r : t0 + r;
                sum[r][c] *= weight[CHUNK - 1 - n];
                slope += (float)n * (sum[r][c] * LOAD(x + at, rest));
                STORE(sum[r][c], out + at, rest);
            }
        }
    }
    return sum_of_vector(slope);
}

/* out = the tile's sums, added to what is there if `add`. */
#define STORE_TILE(sum, out, add)                                                                        \
    FOR_TILE_ROWS(r_)                                                                                    \
        FOR_TILE_VECS(c_) {                                                                              \
            int at_ = (t0 + r_) * stride + j + c_ * VEC, rest_ = N - j - c_ * VEC;                       \
            if (t0 + r_ < length && rest_ > 0)                                                           \
                STORE((add) ? sum[r_][c_] + LOAD((out) + at_, rest_) : sum[r_][c_], (out) + at_, rest_); \
        }

/* This work-item's share of what the state before a chunk gives to the one after it: length * w^length * <S, G>. NULL:
 * none. */
INLINE float across(global const float *state, global const float *grad, float decay, float length)
{
    floatv sum = 0.0f;
    if (!state || !grad)
        return 0.0f;
    FOR_LANE_VECTORS(i, N * N)
        sum += LOAD(state + i, N * N - i) * LOAD(grad + i, N * N - i);
    return length * exp(-exp(decay) * length) * sum_of_vector(sum);
}

INLINE float sum_of_first(local const float *x, int count)
{
    float sum = 0.0f;
    for (int i = 0; i < count; i++)
        sum += x[i];
    return sum;
}

/* dv of a chunk: the weighted scores transposed times dy, and what comes through the state behind it (grad). */
static inline void value_gradients(local const float *restrict scores, local float *restrict panel,
                                   local const float *restrict weight, global const float *restrict k,
                                   global const float *restrict dy, global float *restrict dv,
                                   global const float *restrict grad, int length, int stride)
{
    for (int j0 = 0; j0 < N; j0 += PANEL) {
        BARRIER();
        PACK_ROWS(panel, length, length, N - j0, dy + pr * stride + j0, 1.0f);
        BARRIER();
        FOR_TILES(t0, col, 0, length) {
            int j = j0 + col;
            if (j >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            TILE_ZERO(sum);
            if (grad) {
                global const float *from[TILE_ROWS];
                FOR_TILE_ROWS(i)
                    from[i] = k + min(t0 + i, length - 1) * stride;
                TILE_PRODUCT(sum, 0, N, from[tr][ti], grad + ti * N + j);
                FOR_TILE(i, c)
                    sum[i][c] *= weight[CHUNK - 1 - max(length - 1 - t0 - i, 0)];
            }
            TILE_PRODUCT(sum, t0, length, scores[ti * SCORES + t0 + tr], panel + ti * PANEL_STRIDE + col);
            STORE_TILE(sum, dv, 0);
        }
    }
}

/* Gradients within one chunk: with G the gradient of the state after it (`grads`; NULL: one chunk, none),
 *     dr_t = w^t S dy_t + sum_{s<=t} weight q k_s,   dk_s = w^(L-1-s) G v_s + sum_{t>=s} weight q r_t,
 *     dv_s = w^(L-1-s) k_s G + sum_{t>=s} weight p dy_t
 * and, [B*H,chunks] each, at `sums` in `partial`, the sum over powers n w^n of their factors n, and the gradient of u.
 * Groups: chunks, B*H. */
kernel void time_mix_backward(global const float *restrict r, global const float *restrict k,
                              global const float *restrict v, global const float *restrict dy,
                              global const float *restrict decay, global const float *restrict faaaa,
                              global const float *restrict states, global const float *restrict grads,
                              global float *restrict dr, global float *restrict dk, global float *restrict dv,
                              global float *restrict partial, int sums, int T, int H, int chunks)
{
    local float scores[CHUNK * SCORES], panel[PANEL_ROWS * PANEL_STRIDE], weight[2 * CHUNK];
    local float diagonal[CHUNK], room[LANES];
    int chunk = (int)get_group_id(0), bh = (int)get_group_id(1), stride = H * N, start = chunk * CHUNK;
    int base = (bh / H * T + start) * stride + bh % H * N, length = min(CHUNK, T - start);
    int at = bh * chunks + chunk;
    global const float *state = chunk > 0 ? states + at * (N * N) : 0;
    global const float *grad = chunk < chunks - 1 ? grads + at * (N * N) : 0;
    fill_weights(weight, decay[bh % H], faaaa[bh % H]);
    products(scores, panel, r + base, k + base, length, stride);
    FOR_LANE(t, length)
        diagonal[t] = scores[t * SCORES + t];
    BARRIER();
    weigh(scores, weight, length);
    value_gradients(scores, panel, weight, k + base, dy + base, dv + base, grad, length, stride);
    float slope = second_products(scores, panel, weight, diagonal, dy + base, v + base, length, stride);
    if (state)
        slope += through_state(dr + base, panel, weight, dy + base, r + base, state, length, stride, 0);
    if (grad)
        slope += through_state(dk + base, panel, weight, v + base, k + base, grad, length, stride, 1);
    slope += across(state, grad, decay[bh % H], (float)length);
    for (int j0 = 0; j0 < N; j0 += PANEL) {
        BARRIER();
        PACK_ROWS(panel, length, length, N - j0, k + base + pr * stride + j0, 1.0f);
        BARRIER();
        FOR_TILES(t0, col, 0, length) {
            int j = j0 + col;
            if (j >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, 0, min(t0 + TILE_ROWS, length), scores[(t0 + tr) * SCORES + ti],
                         panel + ti * PANEL_STRIDE + col);
            STORE_TILE(sum, dr + base, state != 0);
        }
        BARRIER();
        PACK_ROWS(panel, length, length, N - j0, r + base + pr * stride + j0, 1.0f);
        BARRIER();
        FOR_TILES(t0, col, 0, length) {
            int j = j0 + col;
            if (j >= N)
                continue;
            floatv sum[TILE_ROWS][TILE_VECS];
            TILE_ZERO(sum);
            TILE_PRODUCT(sum, t0, length, scores[ti * SCORES + t0 + tr], panel + ti * PANEL_STRIDE + col);
            STORE_TILE(sum, dk + base, grad != 0);
        }
    }
    slope = row_sum(slope, room);
    if (LANE == 0) {
        partial[sums + at] = slope;
        partial[sums + (int)get_num_groups(0) * (int)get_num_groups(1) + at] = sum_of_first(diagonal, length);
    }
}

/* ddecay[h] -= exp(decay[h]) * sum of partial over b and chunks, dfaaaa[h] += likewise. A group per head. */
kernel void time_mix_backward_sum(global const float *restrict decay, global const float *restrict partial, int sums,
                                  global float *restrict ddecay, global float *restrict dfaaaa, int B, int H,
                                  int chunks)
{
    local float room[LANES];
    float slope = 0.0f, du = 0.0f;
    FOR_LANE(i, B * chunks) {
        int at = sums + (i / chunks * H + ROW) * chunks + i % chunks;
        slope += partial[at];
        du += partial[B * H * chunks + at];
    }
    slope = row_sum(slope, room);
    du = row_sum(du, room);
    if (LANE == 0) {
        ddecay[ROW] -= exp(decay[ROW]) * slope;
        dfaaaa[ROW] += du;
    }
}
