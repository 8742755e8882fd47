/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-7 and what surrounds it. Per head, S an N x N state indexed [key, value]:
 *     S <- diag(w_t) S - (removal_t)' (kappa_t S) + k_t' v_t,   y_t = r_t S
 * r, k, v, kappa, removal (kappa times its rate), change (w - 1) and y [B*T,H*N], state [B*H,N,N]. N comes with -D. */
#ifndef N
#define N 64
#endif

/* ---- heads of rows: a group takes a share of them, LANES work-items a head --------------------------------- */

#define MINE ((VECTORS(N) + LANES - 1) / LANES) /* vectors of a lane */
#define FOR_MINE(j) _Pragma("unroll") for (int j = 0; j < MINE; j++)
#define AT(j) ((LANE + (j)*LANES) * VEC) /* the column of the lane's vector j; beyond N: nothing there */

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

/* kappa = k k_k / |k k_k| per head, rate = sigmoid(a); w <- exp(-e^-1/2 sigmoid(w)) - 1, a <- kappa rate,
 * k <- k (1 + (rate - 1) k_a), v <- v + (v_first - v) sigmoid(share), where v_first is not NULL. What w, a, k and v
 * become goes to change, removal, key and value, which may be the same tensors. */
kernel void wkv7_inputs(global const float *w, global const float *a, global const float *k, global const float *v,
                        global float *change, global float *removal, global float *key, global float *value,
                        global float *restrict kappa, global const float *restrict v_first,
                        global const float *restrict share, global const float *restrict k_k,
                        global const float *restrict k_a, int R, int H)
{
    local float room[LANES];
    FOR_ROWS(head, R * H) {
        int at = head * N, c = head % H * N;
        floatv own[MINE], way[MINE], squares = 0.0f;
        FOR_MINE(j) {
            own[j] = load_some(k + at + AT(j), N - AT(j));
            way[j] = own[j] * load_some(k_k + c + AT(j), N - AT(j));
            squares += way[j] * way[j];
        }
        float scale = 1.0f / fmax(sqrt(row_sum(sum_of_vector(squares), room)), 1e-12f);
        FOR_MINE(j) {
            int left = N - AT(j), i = at + AT(j);
            floatv rate = sigmoid_of(load_some(a + i, left));
            store_some(way[j] * scale, kappa + i, left);
            store_some(way[j] * scale * rate, removal + i, left);
            store_some(own[j] + own[j] * (rate - 1.0f) * load_some(k_a + c + AT(j), left), key + i, left);
            store_some(small_expm1(SLOWEST * sigmoid_of(load_some(w + i, left))), change + i, left);
            if (v_first) {
                floatv mine = load_some(v + i, left), first = load_some(v_first + i, left);
                store_some(mine + (first - mine) * sigmoid_of(load_some(share + i, left)), value + i, left);
            }
        }
    }
}

/* y = (x + (sum of r k bonus over the head) v) g; bonus [H*N]; y may be x. */
kernel void wkv7_output(global const float *restrict r, global const float *restrict k, global const float *restrict v,
                        global const float *restrict bonus, global const float *restrict g, global const float *x,
                        global float *y, int R, int H)
{
    local float room[LANES];
    FOR_ROWS(head, R * H) {
        int at = head * N, c = head % H * N;
        floatv sum = 0.0f;
        FOR_MINE(j) {
            int left = N - AT(j), i = at + AT(j);
            sum += load_some(r + i, left) * load_some(k + i, left) * load_some(bonus + c + AT(j), left);
        }
        float again = row_sum(sum_of_vector(sum), room);
        FOR_MINE(j) {
            int left = N - AT(j), i = at + AT(j);
            store_some((load_some(x + i, left) + again * load_some(v + i, left)) * load_some(g + i, left), y + i, left);
        }
    }
}

/* ---- the recurrence ----------------------------------------------------------------------------------------- */

#define MOST_VECS 4
#include "columns.cl"

#if LANES == 1
/* removed = kappa S, for the `rest` columns from S on */
static inline void state_times_kappa(floatv removed[VECS], global const float *restrict kappa,
                                     global const float *restrict S, int rest)
{
    FOR_VECS(c)
        removed[c] = 0.0f;
    for (int i = 0; i < N; i++)
        FOR_VECS(c)
            removed[c] = fma((floatv)kappa[i], load_some(S + i * N + c * VEC, rest - c * VEC), removed[c]);
}
#endif

/* Groups: blocks of values, B*H. kept [B*H,ceil(T / every),N,N], or NULL: the state before every `every` positions. */
kernel void wkv7_forward(global const float *restrict r, global const float *restrict change,
                         global const float *restrict k, global const float *restrict v,
                         global const float *restrict kappa, global const float *restrict removal,
                         global float *restrict state, global float *restrict y, global float *restrict kept, int every,
                         int T, int H)
{
    int bh = (int)get_group_id(1), j0 = (int)get_group_id(0) * COLUMNS, stride = H * N;
    int base = bh / H * T * stride + bh % H * N;
    global float *S = state + bh * (N * N);
    kept = kept ? kept + bh * ((T + every - 1) / every) * (N * N) : 0;
#if LANES == 1
    int rest = N <= COLUMNS ? N : N - j0; /* known to the compiler where there is one block */
    floatv removed[VECS];                 /* kappa S of the position at hand: summed up while S is made */
    state_times_kappa(removed, kappa + base, S + j0, rest);
    for (int t = 0; t < T; t++) {
        int at = base + t * stride;
        global const float *next = kappa + (t + 1 < T ? at + stride : at);
        floatv value[VECS], sum[VECS], after[VECS];
        if (kept && t % every == 0)
            keep_columns(S + j0, kept + t / every * (N * N) + j0, rest);
        FOR_VECS(c) {
            value[c] = load_some(v + at + j0 + c * VEC, rest - c * VEC);
            sum[c] = after[c] = 0.0f;
        }
        for (int i = 0; i < N; i++) {
            global float *row = S + i * N + j0;
            float less = change[at + i], key = k[at + i], out = removal[at + i], ahead = next[i];
            FOR_VECS(c) {
                floatv old = load_some(row + c * VEC, rest - c * VEC);
                floatv new = old + fma((floatv)key, value[c], fma((floatv)-out, removed[c], less * old));
                store_some(new, row + c * VEC, rest - c * VEC);
                sum[c] = fma((floatv)r[at + i], new, sum[c]);
                after[c] = fma((floatv)ahead, new, after[c]);
            }
        }
        FOR_VECS(c) {
            store_some(sum[c], y + at + j0 + c * VEC, rest - c * VEC);
            removed[c] = after[c];
        }
    }
#else
    local float rs[POSITIONS * APART], cs[POSITIONS * APART], ks[POSITIONS * APART], kappas[POSITIONS * APART],
        outs[POSITIONS * APART];
    int j = min(j0 + LANE, N - 1), mine = j0 + LANE < N; /* who has no column computes with an empty one */
    float column[N];
    get_column(column, S + j, mine);
    for (int t0 = 0; t0 < T; t0 += POSITIONS) {
        int count = min(POSITIONS, T - t0), from = base + t0 * stride;
        barrier(CLK_LOCAL_MEM_FENCE);
        take(rs, r + from, count, stride);
        take(cs, change + from, count, stride);
        take(ks, k + from, count, stride);
        take(kappas, kappa + from, count, stride);
        take(outs, removal + from, count, stride);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = 0; p < count; p++) {
            int at = from + p * stride + j, row = p * APART;
            float value = v[at], sum = 0.0f, removed = 0.0f;
            if (kept && mine && (t0 + p) % every == 0)
                put_column(column, kept + (t0 + p) / every * (N * N) + j);
#pragma unroll
            for (int i = 0; i < N; i++)
                removed = fma(kappas[row + i], column[i], removed);
#pragma unroll
            for (int i = 0; i < N; i++) {
                column[i] += fma(ks[row + i], value, fma(-outs[row + i], removed, cs[row + i] * column[i]));
                sum = fma(rs[row + i], column[i], sum);
            }
            if (mine)
                y[at] = sum;
        }
    }
    if (mine)
        put_column(column, S + j);
#endif
}
