/* SPDX-License-Identifier: GPL-3.0-or-later
 * Causal attention over the last W positions, per head of D floats: y_t = sum_s p_ts v_s over t-W < s <= t, p the
 * softmax of scale * q_t.k_s. q, k, v are columns of qkv [B*T,stride], beginning at q_at, k_at, v_at; y [B*T,H*D];
 * lse [B,H,T] = log of the softmax's denominator. Positions count from the first of the T; those before it are in the
 * rings [B,W,H*D], position s in slot (slot + s) mod W, `before` of them.
 *
 * Vectors run over positions: a group takes a panel of PANEL queries (or keys), held transposed, against blocks of
 * KEYS keys (or queries) whose rows are read as they lie; [KEYS,PANEL] scores are in local memory at a time. D,
 * PANEL, KEYS and COLUMNS, how many columns of the result a group makes (D, unless D is large), come with -D.
 *
 * With -DDROPOUT p_ts is multiplied by `grow` where bit s of row (b,h,t) of `kept` [B,H,T,words] is set, else by 0. */
#ifndef D
#define D 32
#define PANEL 32
#define KEYS 64
#define COLUMNS 32
#endif
#define PANEL_STRIDE PANEL
#define WIDTH D
#include "tile.cl"

#define DEPTH ROUND_UP(D, VEC)
#define OUT_DEPTH ROUND_UP(COLUMNS, VEC)
#define PIECES ((D + COLUMNS - 1) / COLUMNS) /* groups for a head's columns */

/* Statistics of a panel's columns: on a CPU by vectors, else a column is a lane's. */
#if LANES == 1
typedef floatv column;
#define FOR_COLUMNS(c) for (int c = 0; c < PANEL; c += VEC)
#define LOAD_COLUMN(p) vloadv(0, p)
#define STORE_COLUMN(v, p) vstorev(v, 0, p)
#else
typedef float column;
#define FOR_COLUMNS(c) FOR_LANE(c, PANEL)
#define LOAD_COLUMN(p) (*(p))
#define STORE_COLUMN(v, p) (*(p) = (v))
#endif

/* x where a key is seen, `otherwise` elsewhere; distance = position of the query - position of the key. */
static inline floatv where_seen(floatv x, floatv distance, int W, float otherwise)
{
    return select((floatv)otherwise, x, (distance >= 0.0f) & (distance < (float)W));
}

/* A run of at most KEYS keys that lie in order: their k and v rows, `step` floats apart. */
struct keys {
    global const float *k, *v;
    int step, count;
};

/* The run from position s on; positions to `high` are wanted. */
INLINE struct keys keys_from(int s, int high, global const float *k, global const float *v, int stride,
                             global const float *ring_k, global const float *ring_v, int ring_stride, int slot, int W)
{
    struct keys run;
    if (s < 0) {
        int at = slot + s < 0 ? slot + s + W : slot + s;
        run.k = ring_k + at * ring_stride;
        run.v = ring_v + at * ring_stride;
        run.step = ring_stride;
        run.count = min(-s, W - at);
    } else {
        run.k = k + s * stride;
        run.v = v + s * stride;
        run.step = stride;
        run.count = KEYS;
    }
    run.count = min(min(run.count, KEYS), high + 1 - s);
    return run;
}

/* sum = rows of `left` (`count` of them, `step` floats apart) from `row` on, times the panel's columns from col on. */
#define ROWS_BY_PANEL(sum, left, step, count, row, panel, col)                       \
    TILE_ZERO(sum);                                                                  \
    {                                                                                \
        global const float *rows_[TILE_ROWS];                                        \
        FOR_TILE_ROWS(r_)                                                            \
            rows_[r_] = (left) + min((row) + r_, (count)-1) * (step);                \
        TILE_PRODUCT(sum, 0, D, rows_[tr][ti], (panel) + ti * PANEL_STRIDE + (col)); \
    }

/* out[j] += sum over the rows of `left` of its column j times the row of scores, for the first `columns` columns. */
#define COLUMNS_BY_SCORES(out, left, step, count, columns, scores)                                                  \
    FOR_TILES(j, col, 0, columns) {                                                                                 \
        floatv sum[TILE_ROWS][TILE_VECS];                                                                           \
        FOR_TILE_ROWS(r)                                                                                            \
            FOR_TILE_VECS(c)                                                                                        \
                sum[r][c] = vloadv(c, (out) + (j + r) * PANEL_STRIDE + col);                                        \
        TILE_PRODUCT(sum, 0, count,                                                                                 \
                     (left)[ti * (step) + (COLUMNS % TILE_ROWS || PIECES > 1 ? min(j + tr, (columns)-1) : j + tr)], \
                     (scores) + ti * PANEL_STRIDE + col);                                                           \
        FOR_TILE_ROWS(r)                                                                                            \
            FOR_TILE_VECS(c)                                                                                        \
                vstorev(sum[r][c], c, (out) + (j + r) * PANEL_STRIDE + col);                                        \
    }

#define FILL(panel, count, value) \
    FOR_LANE(i_, count)           \
    (panel)[i_] = (value)

#ifdef DROPOUT
/* 1 where the queries from t on (the last one stands for those after it) keep key s; `rows` are theirs. */
INLINE floatv kept_by_queries(global const uint *rows, int words, int t, int last, int s)
{
    float of[VEC];
    for (int e = 0; e < VEC; e++)
        of[e] = (float)(rows[min(t + e, last) * words + s / 32] >> (s % 32) & 1);
    return vloadv(0, of);
}

/* 1 where a query keeps the keys from s on, a multiple of VEC. */
INLINE floatv kept_of_keys(global const uint *row, int s)
{
    float of[VEC];
    for (int e = 0; e < VEC; e++)
        of[e] = (float)(row[s / 32] >> (s % 32 + e) & 1);
    return vloadv(0, of);
}

#if LANES == 1
#define KEPT_COLUMN(c, s) kept_by_queries(kept, words, t0 + (c), T - 1, s)
#else
#define KEPT_COLUMN(c, s) (float)(kept[min(t0 + (c), T - 1) * words + (s) / 32] >> ((s) % 32) & 1)
#endif
#endif

/* Groups: panels of queries, H * PIECES, B. ring_k and ring_v may be NULL (before = 0), lse too. */
kernel void window_attention_forward(global const float *restrict qkv, global const float *restrict ring_k,
                                     global const float *restrict ring_v, global float *restrict y,
                                     global float *restrict lse, int T, int H, int W, float scale, int stride, int q_at,
                                     int k_at, int v_at, int before, int slot, global const uint *restrict kept,
                                     int words, float grow)
{
    local float queries[DEPTH * PANEL], scores[KEYS * PANEL], out[OUT_DEPTH * PANEL];
    local float top[PANEL], total[PANEL], factor[PANEL];
    int t0 = (int)get_group_id(0) * PANEL, h = (int)get_group_id(1) / PIECES, b = (int)get_group_id(2);
    int j0 = (int)get_group_id(1) % PIECES * COLUMNS, columns = min(COLUMNS, D - j0), rows = min(PANEL, T - t0);
    int high = t0 + rows - 1, ring_stride = H * D, ring_at = b * W * ring_stride + h * D;
    global const float *head = qkv + b * T * stride + h * D;
    PACK_TRANSPOSED(queries, rows, D, head + q_at + (t0 + pr) * stride);
#ifdef DROPOUT
    kept += (b * H + h) * T * words;
#endif
    FILL(top, PANEL, -1e30f);
    FILL(total, PANEL, 0.0f);
    FILL(out, OUT_DEPTH * PANEL, 0.0f);
    BARRIER();
    struct keys run;
    for (int s0 = max(t0 - W + 1, -before); s0 <= high; s0 += run.count) {
        run = keys_from(s0, high, head + k_at, head + v_at, stride, ring_k + ring_at, ring_v + ring_at, ring_stride,
                        slot, W);
        int edge = s0 + run.count - 1 > t0 || high - s0 >= W;
        FOR_TILES(s, col, 0, run.count) {
            floatv sum[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(sum, run.k, run.step, run.count, s, queries, col);
            FOR_TILE(r, c) {
                sum[r][c] *= scale;
                if (edge)
                    sum[r][c] = where_seen(sum[r][c], counting(t0 + col + c * VEC - s0 - s - r), W, -INFINITY);
                vstorev(sum[r][c], c, scores + (s + r) * PANEL + col);
            }
        }
        BARRIER();
        FOR_COLUMNS(c) {
            column old = LOAD_COLUMN(top + c), most = old, sum = 0.0f;
            for (int s = 0; s < run.count; s++)
                most = max(most, LOAD_COLUMN(scores + s * PANEL + c));
            for (int s = 0; s < run.count; s++) {
                column p = exp(LOAD_COLUMN(scores + s * PANEL + c) - most);
                sum += p;
#ifdef DROPOUT
                p *= grow * KEPT_COLUMN(c, s0 + s);
#endif
                STORE_COLUMN(p, scores + s * PANEL + c);
            }
            column shrink = exp(old - most);
            STORE_COLUMN(most, top + c);
            STORE_COLUMN(shrink, factor + c);
            STORE_COLUMN(LOAD_COLUMN(total + c) * shrink + sum, total + c);
        }
        BARRIER();
        FOR_TILES(j, col, 0, columns) {
            floatv sum[TILE_ROWS][TILE_VECS];
            FOR_TILE(r, c)
                sum[r][c] = vloadv(c, out + (j + r) * PANEL + col) * vloadv(c, factor + col);
            TILE_PRODUCT(
                sum, 0, run.count,
                run.v[ti * run.step + j0 + (COLUMNS % TILE_ROWS || PIECES > 1 ? min(j + tr, columns - 1) : j + tr)],
                scores + ti * PANEL + col);
            FOR_TILE(r, c)
                vstorev(sum[r][c], c, out + (j + r) * PANEL + col);
        }
        BARRIER();
    }
    UNPACK_TRANSPOSED(out, rows, columns, y + (b * T + t0 + pr) * (H * D) + h * D + j0,
                      1.0f / vloadv(0, total + column_));
    if (lse && j0 == 0)
        FOR_LANE(t, rows)
            lse[(b * H + h) * T + t0 + t] = top[t] + log(total[t]);
}

/* dq, by panels of queries; delta [B,H,T] = dy.y is left for dk and dv. No positions before. Groups as above. */
kernel void window_attention_backward_queries(global const float *restrict qkv, global const float *restrict y,
                                              global const float *restrict lse, global const float *restrict dy,
                                              global float *restrict dqkv, global float *restrict delta, int T, int H,
                                              int W, float scale, int stride, int q_at, int k_at, int v_at,
                                              global const uint *restrict kept, int words, float grow)
{
    local float queries[DEPTH * PANEL], douts[DEPTH * PANEL], scores[KEYS * PANEL], out[OUT_DEPTH * PANEL];
    local float top[PANEL], dots[PANEL];
    int t0 = (int)get_group_id(0) * PANEL, h = (int)get_group_id(1) / PIECES, b = (int)get_group_id(2);
    int j0 = (int)get_group_id(1) % PIECES * COLUMNS, columns = min(COLUMNS, D - j0), rows = min(PANEL, T - t0);
    int high = t0 + rows - 1, at = b * T * (H * D) + h * D, unit = (b * H + h) * T + t0;
#ifdef DROPOUT
    kept += (b * H + h) * T * words;
#endif
    global const float *head = qkv + b * T * stride + h * D;
    PACK_TRANSPOSED(queries, rows, D, head + q_at + (t0 + pr) * stride);
    PACK_TRANSPOSED(douts, rows, D, dy + at + (t0 + pr) * (H * D));
    FILL(dots, PANEL, 0.0f);
    for (int i0 = 0; i0 < D; i0 += COLUMNS) {
        int depth = min(COLUMNS, D - i0);
        BARRIER();
        PACK_TRANSPOSED(out, rows, depth, y + at + (t0 + pr) * (H * D) + i0);
        BARRIER();
        FOR_COLUMNS(c) {
            column sum = LOAD_COLUMN(dots + c);
            for (int i = 0; i < depth; i++)
                sum += LOAD_COLUMN(out + i * PANEL + c) * LOAD_COLUMN(douts + (i0 + i) * PANEL + c);
            STORE_COLUMN(sum, dots + c);
        }
    }
    BARRIER();
    FOR_LANE(t, PANEL) {
        top[t] = t < rows ? lse[unit + t] : 0.0f;
        if (t < rows && j0 == 0)
            delta[unit + t] = dots[t];
    }
    FILL(out, OUT_DEPTH * PANEL, 0.0f);
    BARRIER();
    struct keys run;
    for (int s0 = max(t0 - W + 1, 0); s0 <= high; s0 += run.count) {
        run = keys_from(s0, high, head + k_at, head + v_at, stride, 0, 0, 0, 0, W);
        int edge = s0 + run.count - 1 > t0 || high - s0 >= W;
        FOR_TILES(s, col, 0, run.count) {
            floatv sum[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(sum, run.k, run.step, run.count, s, queries, col);
            FOR_TILE(r, c) {
                floatv p = exp(scale * sum[r][c] - vloadv(c, top + col));
                if (edge)
                    p = where_seen(p, counting(t0 + col + c * VEC - s0 - s - r), W, 0.0f);
                vstorev(p, c, scores + (s + r) * PANEL + col);
            }
        }
        FOR_TILES(s, col, 0, run.count) {
            floatv sum[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(sum, run.v, run.step, run.count, s, douts, col);
            FOR_TILE(r, c) {
                local float *p = scores + (s + r) * PANEL + col;
#ifdef DROPOUT
                sum[r][c] *= grow * kept_by_queries(kept, words, t0 + col + c * VEC, T - 1, min(s0 + s + r, high));
#endif
                vstorev(vloadv(c, p) * (sum[r][c] - vloadv(c, dots + col)), c, p);
            }
        }
        BARRIER();
        COLUMNS_BY_SCORES(out, run.k + j0, run.step, run.count, columns, scores);
        BARRIER();
    }
    UNPACK_TRANSPOSED(out, rows, columns, dqkv + (b * T + t0 + pr) * stride + q_at + h * D + j0, scale);
}

/* What query t + r does with the keys of vector c of its tile */
#define KEPT_BY_ROW(c) \
    kept_of_keys(kept + (unit + t0 + min(t + r, count - 1)) * words, min(s0 + col + (c)*VEC, 32 * words - VEC))

/* dk and dv, by panels of keys against blocks of queries. Groups: panels of keys, H * PIECES, B. */
kernel void window_attention_backward_keys(global const float *restrict qkv, global const float *restrict lse,
                                           global const float *restrict delta, global const float *restrict dy,
                                           global float *restrict dqkv, int T, int H, int W, float scale, int stride,
                                           int q_at, int k_at, int v_at, global const uint *restrict kept, int words,
                                           float grow)
{
    local float keys[DEPTH * PANEL], values[DEPTH * PANEL], scores[KEYS * PANEL];
    local float dkeys[OUT_DEPTH * PANEL], dvalues[OUT_DEPTH * PANEL];
    int s0 = (int)get_group_id(0) * PANEL, h = (int)get_group_id(1) / PIECES, b = (int)get_group_id(2);
    int j0 = (int)get_group_id(1) % PIECES * COLUMNS, columns = min(COLUMNS, D - j0), rows = min(PANEL, T - s0);
    int end = T - (s0 + rows - 1) > W ? s0 + rows - 1 + W : T; /* of the queries that see one of the keys */
    int unit = (b * H + h) * T, out_at = (b * T + s0) * stride + h * D + j0;
    global const float *head = qkv + b * T * stride + h * D, *dhead = dy + b * T * (H * D) + h * D;
    PACK_TRANSPOSED(keys, rows, D, head + k_at + (s0 + pr) * stride);
    PACK_TRANSPOSED(values, rows, D, head + v_at + (s0 + pr) * stride);
    FILL(dkeys, OUT_DEPTH * PANEL, 0.0f);
    FILL(dvalues, OUT_DEPTH * PANEL, 0.0f);
    BARRIER();
    for (int t0 = s0; t0 < end; t0 += KEYS) {
        int count = min(KEYS, end - t0), edge = s0 + rows - 1 > t0 || t0 + count - 1 - s0 >= W;
        global const float *q = head + q_at + t0 * stride, *d = dhead + t0 * (H * D);
        FOR_TILES(t, col, 0, count) {
            floatv sum[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(sum, q, stride, count, t, keys, col);
            FOR_TILE_ROWS(r) {
                float top = lse[unit + t0 + min(t + r, count - 1)];
                FOR_TILE_VECS(c) {
                    floatv p = exp(scale * sum[r][c] - top);
                    if (edge)
                        p = where_seen(p, (float)(t0 + t + r) - counting(s0 + col + c * VEC), W, 0.0f);
#ifdef DROPOUT
                    p *= grow * KEPT_BY_ROW(c);
#endif
                    vstorev(p, c, scores + (t + r) * PANEL + col);
                }
            }
        }
        BARRIER();
        COLUMNS_BY_SCORES(dvalues, d + j0, H * D, count, columns, scores);
        BARRIER();
        FOR_TILES(t, col, 0, count) {
            floatv sum[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(sum, d, H * D, count, t, values, col);
#ifdef DROPOUT /* the scores are with dropout: those without once more */
            floatv score[TILE_ROWS][TILE_VECS];
            ROWS_BY_PANEL(score, q, stride, count, t, keys, col);
            FOR_TILE(r, c) {
                floatv p = exp(scale * score[r][c] - lse[unit + t0 + min(t + r, count - 1)]);
                p = where_seen(p, (float)(t0 + t + r) - counting(s0 + col + c * VEC), W, 0.0f);
                vstorev(p, c, scores + (t + r) * PANEL + col);
                sum[r][c] *= grow * KEPT_BY_ROW(c);
            }
#endif
            FOR_TILE_ROWS(r) {
                float dot = delta[unit + t0 + min(t + r, count - 1)];
                FOR_TILE_VECS(c) {
                    local float *p = scores + (t + r) * PANEL + col;
                    vstorev(vloadv(c, p) * (sum[r][c] - dot), c, p);
                }
            }
        }
        BARRIER();
        COLUMNS_BY_SCORES(dkeys, q + j0, stride, count, columns, scores);
        BARRIER();
    }
    UNPACK_TRANSPOSED(dkeys, rows, columns, dqkv + out_at + k_at + pr * stride, scale);
    UNPACK_TRANSPOSED(dvalues, rows, columns, dqkv + out_at + v_at + pr * stride, (floatv)1.0f);
}

/* The last `count` (at most W) of the T positions go to the rings. Groups: positions, B. */
kernel void window_attention_append(global const float *restrict qkv, global float *restrict ring_k,
                                    global float *restrict ring_v, int T, int H, int W, int stride, int k_at, int v_at,
                                    int count, int slot)
{
    int t = T - count + (int)get_group_id(0), b = (int)get_group_id(1), to = (b * W + (slot + t) % W) * (H * D);
    global const float *row = qkv + (b * T + t) * stride;
    FOR_LANE_VECTORS(i, H * D) {
        store_some(load_some(row + k_at + i, H * D - i), ring_k + to + i, H * D - i);
        store_some(load_some(row + v_at + i, H * D - i), ring_v + to + i, H * D - i);
    }
}
