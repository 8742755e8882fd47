/* SPDX-License-Identifier: GPL-3.0-or-later
 * A decoding step of causal attention over the last W positions, for R rows of one token, each with its own slot of the
 * rings: the row's k and v go into its rings, then y = sum_s p_s v_s over all that the rings hold, p the softmax of
 * scale * q.k_s, per head of D floats (-D); times the row's gate columns where there are any. Keys come in blocks of
 * KEYS; what was summed up before is scaled when a block has a larger score. */
#ifndef D
#define D 64
#endif
#define WIDTH D
#define PANEL 16
#include "tile.cl"

#define KEYS 64
#define FOR_HEAD_VECTORS(c) _Pragma("unroll") for (int c = 0; c < VECTORS(D); c++)

/* What is summed up of a head: total = sum of e^(score - top), `values` the same times v. */
struct sums {
    float top, total;
#if LANES == 1
    floatv values[VECTORS(D)];
#else
    local float *values;
#endif
};

#if LANES == 1
/* The sum over i of q[i] k[i], by vectors. */
static inline floatv dot_vector(global const float *q, global const float *k)
{
    floatv sum = 0.0f;
    FOR_HEAD_VECTORS(c)
    sum += LOAD(q + c * VEC, D - c * VEC) * LOAD(k + c * VEC, D - c * VEC);
    return sum;
}

/* Takes in `count` keys, `step` floats apart. */
INLINE void take(struct sums *of, global const float *q, global const float *k, global const float *v, int step,
                 int count, float scale, local float *scores, local float *room)
{
    floatv most = -INFINITY, sum = 0.0f;
    float tops[VEC], top = of->top;
    for (int s0 = 0; s0 < count; s0 += VEC) {
        floatv m[VEC], dots = 0.0f;
        _Pragma("unroll") for (int e = 0; e < VEC; e++) m[e] = dot_vector(q, k + min(s0 + e, count - 1) * step);
        transpose(m);
        _Pragma("unroll") for (int e = 0; e < VEC; e++) dots += m[e];
        dots = select((floatv)-INFINITY, dots * scale, counting(s0) < (floatv)count);
        most = fmax(most, dots);
        vstorev(dots, 0, scores + s0);
    }
    vstorev(most, 0, tops);
    for (int e = 0; e < VEC; e++)
        top = fmax(top, tops[e]);
    for (int s0 = 0; s0 < count; s0 += VEC) {
        floatv p = exp_of(vloadv(0, scores + s0) - top);
        sum += p;
        vstorev(p, 0, scores + s0);
    }
    float shrink = exp(of->top - top);
    of->top = top;
    of->total = of->total * shrink + sum_of_vector(sum);
    FOR_HEAD_VECTORS(c)
    of->values[c] *= shrink;
    for (int s = 0; s < count; s++) {
        floatv p = scores[s];
        FOR_HEAD_VECTORS(c)
        of->values[c] = fma(p, LOAD(v + s * step + c * VEC, D - c * VEC), of->values[c]);
    }
}
#else
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
 * Groups: shares of the R * H heads. */
kernel void attention_step(global const float *restrict qkv, global float *ring_k, global float *ring_v,
                           global const int *restrict slots, global const int *restrict positions,
                           global float *restrict y, int R, int H, int W, int stride, int ring_stride, float scale,
                           int q_at, int k_at, int v_at, int gate_at)
{
    local float scores[KEYS], room[LANES];
#if LANES > 1
    local float values[D];
#endif
    FOR_ROWS(unit, R * H) {
        int row = unit / H, h = unit % H, place = slots[row] * ring_stride + h * D, step = H * D;
        int position = positions[row], seen = position < W - 1 ? position + 1 : W;
        global const float *own = qkv + row * stride + h * D;
        global float *k = ring_k + place, *v = ring_v + place, *to = y + unit * D;
        struct sums of = {-INFINITY, 0.0f};
        FOR_LANE_VECTORS(i, D) {
            STORE(LOAD(own + k_at + i, D - i), k + position % W * step + i, D - i);
            STORE(LOAD(own + v_at + i, D - i), v + position % W * step + i, D - i);
        }
#if LANES == 1
        FOR_HEAD_VECTORS(c)
        of.values[c] = 0.0f;
#else
        of.values = values;
        FOR_LANE(j, D)
            values[j] = 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
#endif
        for (int s0 = 0; s0 < seen; s0 += KEYS)
            take(&of, own + q_at, k + s0 * step, v + s0 * step, step, min(KEYS, seen - s0), scale, scores, room);
        float share = 1.0f / of.total;
#if LANES == 1
        FOR_HEAD_VECTORS(c)
        {
            int left = D - c * VEC;
            floatv out = of.values[c] * share;
            if (gate_at >= 0)
                out *= LOAD(own + gate_at + c * VEC, left);
            STORE(out, to + c * VEC, left);
        }
#else
        FOR_LANE(j, D)
            to[j] = gate_at >= 0 ? of.values[j] * share * own[gate_at + j] : of.values[j] * share;
#endif
    }
}
