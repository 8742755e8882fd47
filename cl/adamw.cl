/* SPDX-License-Identifier: GPL-3.0-or-later
 * AdamW (Loshchilov and Hutter, 2019) as PyTorch orders it, and the global norm of the gradients. */

#define BLOCK 4096 /* elements of one partial sum; BLOCK of src/ops/adamw.c */

/* partial[at + b] = sum of g^2 over the b-th BLOCK of g[start..start+n-1] */
kernel void square_sum(global const float *restrict g, int start, int n, global float *restrict partial, int at)
{
    local float room[LANES];
    int blocks = (n + BLOCK - 1) / BLOCK;
    FOR_ROWS(block, blocks) {
        global const float *from = g + start + block * BLOCK;
        int size = min(BLOCK, n - block * BLOCK);
        floatv sum = 0.0f, other = 0.0f; /* two: the additions of one wait for each other */
        for (int i = LANE * VEC; i < size; i += 2 * LANES * VEC) {
            floatv v = load_some(from + i, size - i);
            sum += v * v;
            int next = i + LANES * VEC;
            if (next < size) {
                v = load_some(from + next, size - next);
                other += v * v;
            }
        }
        float total = row_sum(sum_of_vector(sum + other), room);
        if (LANE == 0)
            partial[at + block] = total;
    }
}

/* norm = sqrt(sum of partial[n]), factor = min(1, max_norm / (norm + 1e-6)), or 1 if max_norm is 0. One
 * group; the sums carry their rounding errors along (Kahan), so that their number does not matter. */
kernel void clip_factor(global const float *restrict partial, int n, float max_norm, global float *restrict norm,
                        global float *restrict factor)
{
    local float room[LANES];
    floatv sum = 0.0f, lost = 0.0f;
    FOR_LANE_VECTORS(i, n) {
        floatv v = load_some(partial + i, n - i) - lost, next = sum + v;
        lost = (next - sum) - v;
        sum = next;
    }
    float length = sqrt(row_sum(sum_of_vector(sum), room));
    if (LANE == 0) {
        float f = max_norm / (length + 1e-6f);
        norm[0] = length;
        factor[0] = max_norm == 0.0f || f > 1.0f ? 1.0f : f; /* not a number stays so */
    }
}

/* loss[0] = before + (cross_entropy[0] + aux[0]), where before is loss[0], or 0 for the first of several batches */
kernel void gather_loss(global const float *restrict cross_entropy, global const float *restrict aux,
                        global float *restrict loss, int first)
{
    if (LANE == 0)
        loss[0] = (first ? 0.0f : loss[0]) + (cross_entropy[0] + aux[0]);
}

/* report[4] of the iterations since it was zeroed: loss and norm of the last one, how many changed the parameters, 1
 * from the first one on that did not because its loss or norm is not finite. Then factor is not a number: adamw stops.
 */
kernel void guard_update(global const float *restrict loss, global const float *restrict norm,
                         global float *restrict factor, global float *restrict report)
{
    if (LANE == 0) {
        report[0] = loss[0];
        report[1] = norm[0];
        if (report[3] == 0.0f && isfinite(loss[0]) && isfinite(norm[0])) {
            report[2] += 1.0f;
        } else {
            report[3] = 1.0f;
            factor[0] = NAN;
        }
    }
}

/* For elements start..start+n-1: g = g * clip[0]; m = m + (g - m)(1 - beta1); v = v beta2 + g^2 (1 - beta2);
 * p = p * keep - rate * m / (sqrt(v) * root + eps), where keep = 1 - lr * weight_decay, rate = lr / (1 -
 * beta1^step), root = 1 / sqrt(1 - beta2^step). clip NULL: 1; clip[0] not a number: nothing changes. */
kernel void adamw(global float *restrict p, global const float *restrict g, global float *restrict m,
                  global float *restrict v, global const float *restrict clip, int start, int n, float rest1,
                  float beta2, float rest2, float rate, float root, float eps, float keep)
{
    float scale = clip ? clip[0] : 1.0f;
    if (isnan(scale))
        return;
    FOR_ITEMS(block, VECTORS(n)) {
        int i = start + block * VEC, left = n - block * VEC;
        floatv gradient = load_some(g + i, left) * scale, first = load_some(m + i, left);
        first += (gradient - first) * rest1;
        floatv second = load_some(v + i, left) * beta2 + gradient * gradient * rest2;
        store_some(first, m + i, left);
        store_some(second, v + i, left);
        store_some(load_some(p + i, left) * keep - rate * first / (sqrt(second) * root + eps), p + i, left);
    }
}
