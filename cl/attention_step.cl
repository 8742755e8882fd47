/* SPDX-License-Identifier: GPL-3.0-or-later
 * A decoding step of causal attention over the last W positions, for R rows of one token, each with its own slot of the
 * rings: the row's k and v go into its rings, then y = sum_s p_s v_s over all that the rings hold, p the softmax of
 * scale * q.k_s, per head of D floats (-D); times the row's gate columns where there are any. Keys come in blocks of
 * KEYS; what was summed up before is scaled when a block has a larger score. */
#ifndef D
#define D 64
#endif
#ifndef PAIRED
#define PAIRED 0 /* two heads fill a vector; H is even then */
#endif
#define WIDTH (PAIRED ? 2 * D : D)
#define PANEL 16
#include "fetch.cl"
#include "tile.cl"

#define KEYS 64

#if LANES == 1
#define UNIT (PAIRED ? 2 : 1) /* heads that share vectors */
#define VECS VECTORS(UNIT *D)
#define UNITS (VECS < 4 ? 4 / VECS : 1) /* at a time: the sums of one do not wait for those of another */
#define HEADS (UNITS * UNIT)
#define UNROLL _Pragma("unroll")
#if VEC == 16
typedef float8 half_vector;
#elif VEC == 8
typedef float4 half_vector;
#else
typedef float2 half_vector;
#endif

/* What is summed up of some heads: total = sum of e^(score - top), `values` the same times v. */
struct sums {
    float top[HEADS], total[HEADS];
    floatv values[UNITS * VECS];
};

/* One number for each head of a unit, on its places in a vector */
static inline floatv of_heads(local const float *p, int apart)
{
    return UNIT == 1 ? (floatv)p[0] : (floatv)((half_vector)p[0], (half_vector)p[apart]);
}

/* scores[head][key] = scale * q.k of `count` keys, `step` floats apart; most: the largest by place in a vector. Asks
 * for the values, which are read next: they seldom lie in a cache. */
INLINE void score(global const float *q, global const float *k, global const float *v, int step, int count, float scale,
                  const int units, local float *scores, floatv *most)
{
    for (int s0 = 0, row = 0; s0 < count; s0 += VEC) {
        int at[VEC];
        UNROLL for (int e = 0; e < VEC; e++)
        {
            at[e] = row;
            UNROLL for (int i = 0; i < units * UNIT * D; i += 16) FETCH(v + row + i);
            row += s0 + e < count - 1 ? step : 0;
        }
        UNROLL for (int u = 0; u < UNITS; u++) if (u < units)
        {
            floatv m[VEC];
            UNROLL for (int e = 0; e < VEC; e++) m[e] = 0.0f;
            UNROLL for (int c = 0; c < VECS; c++)
            {
                int i = u * UNIT * D + c * VEC, left = UNIT * D - c * VEC;
                floatv qs = LOAD(q + i, left);
                UNROLL for (int e = 0; e < VEC; e++) m[e] += qs * LOAD(k + at[e] + i, left);
            }
            transpose(m);
            UNROLL for (int h = 0; h < UNIT; h++)
            {
                floatv dots = 0.0f;
                UNROLL for (int e = 0; e < VEC / UNIT; e++) dots += m[h * (VEC / UNIT) + e];
                dots = select((floatv)-INFINITY, dots * scale, counting(s0) < (floatv)count);
                most[u * UNIT + h] = fmax(most[u * UNIT + h], dots);
                vstorev(dots, 0, scores + (u * UNIT + h) * KEYS + s0);
            }
        }
    }
}

/* Takes in `count` keys of `units` (a constant) units. */
INLINE void take(struct sums *of, global const float *q, global const float *k, global const float *v, int step,
                 int count, float scale, const int units, local float *scores, local float *shrink)
{
    floatv most[HEADS];
    UNROLL for (int h = 0; h < HEADS; h++) most[h] = -INFINITY;
    score(q, k, v, step, count, scale, units, scores, most);
    UNROLL for (int h = 0; h < HEADS; h++) if (h < units * UNIT)
    {
        float tops[VEC], top = of->top[h];
        floatv sum = 0.0f;
        vstorev(most[h], 0, tops);
        for (int e = 0; e < VEC; e++)
            top = fmax(top, tops[e]);
        for (int s0 = 0; s0 < count; s0 += VEC) {
            floatv p = exp_of(vloadv(0, scores + h * KEYS + s0) - top);
            sum += p;
            vstorev(p, 0, scores + h * KEYS + s0);
        }
        shrink[h] = exp(of->top[h] - top);
        of->top[h] = top;
        of->total[h] = of->total[h] * shrink[h] + sum_of_vector(sum);
    }
    UNROLL for (int i = 0; i < UNITS * VECS; i++) if (i < units * VECS) of->values[i] *=
        of_heads(shrink + i / VECS * UNIT, 1);
    for (int s = 0; s < count; s++)
        UNROLL for (int u = 0; u < UNITS; u++) if (u < units)
        {
            floatv p = of_heads(scores + u * UNIT * KEYS + s, KEYS);
            UNROLL for (int c = 0; c < VECS; c++)
            {
                floatv value = LOAD(v + s * step + u * UNIT * D + c * VEC, UNIT * D - c * VEC);
                of->values[u * VECS + c] = fma(p, value, of->values[u * VECS + c]);
            }
        }
}

/* `units` (a constant) units of one row, whose columns of q, k, v and the gate (NULL: none) and of y are given; k and v
 * are where theirs begin in the rings. */
INLINE void attend(global const float *q, global const float *own_k, global const float *own_v,
                   global const float *gate, global float *k, global float *v, global float *y, int position, int W,
                   int step, float scale, const int units, local float *scores, local float *room)
{
    struct sums of;
    int seen = position < W - 1 ? position + 1 : W, at = position % W * step;
    UNROLL for (int h = 0; h < HEADS; h++)
    {
        of.top[h] = -INFINITY;
        of.total[h] = 0.0f;
    }
    UNROLL for (int i = 0; i < UNITS * VECS; i++) if (i < units * VECS)
    {
        int j = i / VECS * UNIT * D + i % VECS * VEC, left = UNIT * D - i % VECS * VEC;
        of.values[i] = 0.0f;
        STORE(LOAD(own_k + j, left), k + at + j, left);
        STORE(LOAD(own_v + j, left), v + at + j, left);
    }
    for (int s0 = 0; s0 < seen; s0 += KEYS)
        take(&of, q, k + s0 * step, v + s0 * step, step, min(KEYS, seen - s0), scale, units, scores, room);
    UNROLL for (int h = 0; h < HEADS; h++) if (h < units * UNIT) room[h] = 1.0f / of.total[h];
    UNROLL for (int i = 0; i < UNITS * VECS; i++) if (i < units * VECS)
    {
        int j = i / VECS * UNIT * D + i % VECS * VEC, left = UNIT * D - i % VECS * VEC;
        floatv out = of.values[i] * of_heads(room + i / VECS * UNIT, 1);
        if (gate)
            out *= LOAD(gate + j, left);
        STORE(out, y + j, left);
    }
}
#else
/* What is summed up of a head: total = sum of e^(score - top), `values` the same times v. */
struct sums {
    float top, total;
    local float *values;
};

INLINE void take(struct sums *of, global const float *q, global const float *k, global const float *v, int step,
                 int count, float scale, local float *scores, local float *room)
{
    float top = of->top, sum = 0.0f;
    FOR_LANE(s, count) {
        floatv dots = 0.0f;
        for (int i = 0; i < D; i += VEC)
            dots += LOAD(q + i, D - i) * LOAD(k + s * step + i, D - i);
        scores[s] = scale * sum_of_vector(dots);
        top = fmax(top, scores[s]);
    }
    top = row_max(top, room);
    FOR_LANE(s, count) {
        scores[s] = exp(scores[s] - top);
        sum += scores[s];
    }
    float shrink = exp(of->top - top);
    of->top = top;
    of->total = of->total * shrink + row_sum(sum, room); /* after its barriers all lanes see the scores */
    FOR_LANE(j, D) {
        float value = of->values[j] * shrink;
        for (int s = 0; s < count; s++)
            value = fma(scores[s], v[s * step + j], value);
        of->values[j] = value;
    }
    BARRIER();
}
#endif

/* qkv [R,stride]: a row's H*D columns of q, k, v begin at q_at, k_at, v_at, those of its gate at gate_at (below 0:
 * none). Rings [slots,ring_stride], a slot's [W,H*D], position p at p % W; slots, positions [R]; y [R,H*D].
 * Groups: shares of the R * H heads, on a CPU of HEADS at a time. */
kernel void attention_step(global const float *restrict qkv, global float *ring_k, global float *ring_v,
                           global const int *restrict slots, global const int *restrict positions,
                           global float *restrict y, int R, int H, int W, int stride, int ring_stride, float scale,
                           int q_at, int k_at, int v_at, int gate_at)
{
#if LANES == 1
    local float scores[HEADS * KEYS], room[HEADS];
    int chunks = (H + HEADS - 1) / HEADS, step = H * D;
    FOR_ROWS(chunk, R * chunks) {
        int row = chunk / chunks, h = chunk % chunks * HEADS, end = min(h + HEADS, H);
        global const float *own = qkv + row * stride;
        global float *k = ring_k + slots[row] * ring_stride, *v = ring_v + slots[row] * ring_stride;
#define ATTEND(units)                                                                                           \
    attend(own + q_at + h * D, own + k_at + h * D, own + v_at + h * D, gate_at < 0 ? 0 : own + gate_at + h * D, \
           k + h * D, v + h * D, y + row * step + h * D, positions[row], W, step, scale, units, scores, room)
        if (h + HEADS == end)
            ATTEND(UNITS);
        else
            for (; h < end; h += UNIT)
                ATTEND(1);
    }
#else
    local float scores[KEYS], room[LANES], values[D];
    FOR_ROWS(unit, R * H) {
        int row = unit / H, h = unit % H, place = slots[row] * ring_stride + h * D, step = H * D;
        int position = positions[row], seen = position < W - 1 ? position + 1 : W;
        global const float *own = qkv + row * stride + h * D;
        global float *k = ring_k + place, *v = ring_v + place, *to = y + unit * D;
        struct sums of = {-INFINITY, 0.0f, values};
        FOR_LANE_VECTORS(i, D) {
            STORE(LOAD(own + k_at + i, D - i), k + position % W * step + i, D - i);
            STORE(LOAD(own + v_at + i, D - i), v + position % W * step + i, D - i);
        }
        FOR_LANE(j, D)
            values[j] = 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
        for (int s0 = 0; s0 < seen; s0 += KEYS)
            take(&of, own + q_at, k + s0 * step, v + s0 * step, step, min(KEYS, seen - s0), scale, scores, room);
        float share = 1.0f / of.total;
        FOR_LANE(j, D)
            to[j] = gate_at >= 0 ? of.values[j] * share * own[gate_at + j] : of.values[j] * share;
    }
#endif
}
