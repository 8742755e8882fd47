/* SPDX-License-Identifier: GPL-3.0-or-later
 * Softmax cross-entropy over rows of V logits: row_loss = -log softmax(logits)[target], or 0 where the target
 * is not in 0..V-1; if backward, the logits become (softmax - onehot) * factor, or 0 there. With WRAP (-D) the largest
 * of each row, the first of equal ones, has wrap times itself added to its gradient. */
#ifndef WRAP
#define WRAP 0
#endif

static inline float max_of_vector(floatv a)
{
#if VEC == 16
    float8 b = max(a.lo, a.hi);
    float4 c = max(b.lo, b.hi);
#elif VEC == 8
    float4 c = max(a.lo, a.hi);
#else
    float4 c = a;
#endif
    return max(max(c.x, c.z), max(c.y, c.w));
}

#if LANES == 1

/* A row goes in at most PIECES pieces. The exponentials of a piece are relative to the largest number up to
 * its end, its `top`, and are taken once: if `keep`, they replace the logits, and the tops are left too. */
#define PIECES 64
#define PIECE_OF(V) max(1024, (V + PIECES * VEC - 1) / (PIECES * VEC) * VEC)

static inline float largest(global const float *a, int n)
{
    floatv high = -INFINITY, other = -INFINITY;
    int i = 0;
    for (; i + 2 * VEC <= n; i += 2 * VEC) {
        high = max(high, vloadv(0, a + i));
        other = max(other, vloadv(0, a + i + VEC));
    }
    for (; i < n; i += VEC)
        high = max(high, load_or(a + i, n - i, -INFINITY));
    return max_of_vector(max(high, other));
}

static inline floatv exponential(global float *a, int left, float top, int keep)
{
    floatv e = exp_of(load_or(a, left, -INFINITY) - top);
    if (keep)
        store_some(e, a, left);
    return e;
}

/* The sum of exp(a - *top), *top the largest number. */
static inline float exponentials(global float *a, int V, int keep, float *tops, float *top)
{
    int piece = PIECE_OF(V), k = 0;
    float m = -INFINITY, sum = 0.0f;
    for (int start = 0; start < V; start += piece, k++) {
        int i = start, end = min(start + piece, V);
        float high = largest(a + i, end - i);
        if (high > m) {
            sum = k ? sum * exp(m - high) : 0.0f;
            m = high;
        }
        tops[k] = m > -INFINITY ? m : 0.0f;
        floatv part = 0.0f;
        for (; i + VEC <= end; i += VEC)
            part += exponential(a + i, VEC, tops[k], keep);
        if (i < end)
            part += exponential(a + i, end - i, tops[k], keep);
        sum += sum_of_vector(part);
    }
    *top = m;
    return sum;
}

/* a = a * share where a holds the exponentials relative to their pieces' tops; zeros if the share is 0. */
static inline void shares(global float *a, int V, const float *tops, float top, float share)
{
    int piece = PIECE_OF(V), k = 0;
    for (int start = 0; start < V; start += piece, k++) {
        int i = start, end = min(start + piece, V);
        float s = tops[k] == top ? share : share * exp(tops[k] - top);
        for (; i + VEC <= end; i += VEC)
            vstorev(share == 0.0f ? 0.0f : vloadv(0, a + i) * s, 0, a + i);
        if (i < end)
            store_some(share == 0.0f ? 0.0f : load_some(a + i, end - i) * s, a + i, end - i);
    }
}

#else

/* The sum of exp(a - *top) over this lane's part of the row, *top its largest number. */
static inline float exponentials(global const float *a, int V, float *top)
{
    float m = -INFINITY, sum = 0.0f;
    FOR_LANE_VECTORS(i, V) {
        floatv v = load_or(a + i, V - i, -INFINITY);
        float high = max(m, max_of_vector(v));
        if (high > -INFINITY) {
            sum = sum * exp(m - high) + sum_of_vector(exp(v - high));
            m = high;
        }
    }
    *top = m;
    return sum;
}

static inline void shares(global float *a, int V, float top, float share)
{
    FOR_LANE_VECTORS(i, V)
        store_some(share == 0.0f ? 0.0f : exp(load_some(a + i, V - i) - top) * share, a + i, V - i);
}

#endif

/* The column of the first logit that equals top, known to all lanes */
static inline int first_of(global const float *a, int V, float top, local float *room)
{
    int at = V;
    FOR_LANE(i, V) {
        if (a[i] == top) {
            at = i;
            break;
        }
    }
    return -(int)row_max(-(float)at, room);
}

/* logits [R,V]; row r has targets[start+r] and row_loss[start+r]. */
kernel void cross_entropy(global float *restrict logits, global const int *restrict targets,
                          global float *restrict row_loss, int start, int R, int V, float factor, float wrap,
                          int backward)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global float *a = logits + row * V;
        int target = targets[start + row];
        int counted = target >= 0 && target < V;
        int owner = counted ? target / VEC % LANES : 0; /* the lane of the target's vector: no other reads it */
        float of_target = counted && LANE == owner ? a[target] : 0.0f, top;
#if LANES == 1
#if WRAP
        int most = first_of(a, V, largest(a, V), room);
#endif
        float tops[PIECES];
        float total = exponentials(a, V, backward, tops, &top);
#else
        float sum = exponentials(a, V, &top), lane_top = top;
        top = row_max(lane_top, room);
#if WRAP
        int most = first_of(a, V, top, room);
#endif
        float total = row_sum(lane_top > -INFINITY ? sum * exp(lane_top - top) : 0.0f, room);
#endif
        if (LANE == owner)
            row_loss[start + row] = counted ? log(total) + top - of_target : 0.0f;
        if (backward) {
            float share = counted ? factor / total : 0.0f;
#if LANES == 1
            shares(a, V, tops, top, share);
#else
            shares(a, V, top, share);
#endif
            if (counted && LANE == owner)
                a[target] -= factor;
#if WRAP
            if (counted && most < V && LANE == most / VEC % LANES)
                a[most] += wrap * top;
#endif
        }
    }
}

/* loss[0] = factor * sum of row_loss[R]; one group. */
kernel void mean_loss(global const float *restrict row_loss, global float *restrict loss, int R, float factor)
{
    local float room[LANES];
    float total = row_sum(lane_sum(row_loss, R), room);
    if (LANE == 0)
        loss[0] = total * factor;
}
