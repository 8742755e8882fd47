/* SPDX-License-Identifier: GPL-3.0-or-later
 * Softmax cross-entropy over rows of V logits, read once for the sum and once for the gradient. */

#define CHUNK (LANES * VEC * 64) /* floats whose largest is found before their exponentials are summed */

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

/* row_loss = -log softmax(logits)[target], or 0 where the target is not in 0..V-1; if backward, the logits
 * become (softmax - onehot) * factor, or 0 there. logits [R,V]; row r has targets[start+r] and
 * row_loss[start+r]. */
kernel void cross_entropy(global float *restrict logits, global const int *restrict targets,
                          global float *restrict row_loss, int start, int R, int V, float factor,
                          int backward)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global float *a = logits + row * V;
        int target = targets[start + row];
        int counted = target >= 0 && target < V;
        float of_target = counted ? a[target] : 0.0f;
        float top = -INFINITY, sum = 0.0f; /* of this lane: the largest so far, the sum of exp(a - top) */
        for (int c = 0; c < V; c += CHUNK) {
            int end = min(c + CHUNK, V);
            floatv high = -INFINITY, part = 0.0f;
            for (int i = c + LANE * VEC; i < end; i += LANES * VEC)
                high = max(high, load_or(a + i, V - i, -INFINITY));
            float m = max(top, max_of_vector(high));
            for (int i = c + LANE * VEC; i < end; i += LANES * VEC)
                part += exp(load_or(a + i, V - i, -INFINITY) - m);
            sum = (top > -INFINITY ? sum * exp(top - m) : 0.0f) + sum_of_vector(part);
            top = m;
        }
        float m = row_max(top, room);
        float total = row_sum(top > -INFINITY ? sum * exp(top - m) : 0.0f, room);
        if (LANE == 0)
            row_loss[start + row] = counted ? log(total) + m - of_target : 0.0f;
        if (backward) {
            float share = factor / total;
            FOR_LANE_VECTORS(i, V) {
                floatv p = counted ? exp(load_some(a + i, V - i) - m) * share : 0.0f;
                store_some(p, a + i, V - i);
            }
            if (counted && LANE == target / VEC % LANES) /* the lane that wrote there */
                a[target] -= factor;
        }
    }
}

/* loss[0] = factor * sum of row_loss[R]; one group. */
kernel void mean_loss(global const float *restrict row_loss, global float *restrict loss, int R, float factor)
{
    local float room[LANES];
    floatv sum = 0.0f;
    FOR_LANE_VECTORS(i, R)
        sum += load_some(row_loss + i, R - i);
    float total = row_sum(sum_of_vector(sum), room);
    if (LANE == 0)
        loss[0] = total * factor;
}
