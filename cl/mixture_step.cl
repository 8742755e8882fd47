/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a decoding step of a mixture of experts has between its products, from the gate's outputs: weights by softmax,
 * all of them or the A largest scaled to sum 1, and the weighted sum of the experts' outputs. R rows, E experts. */
#define EXPERTS 64 /* at most */

/* scores = softmax of E numbers; all lanes of the group call it and see them afterwards. */
static void softmax_of(global const float *from, int E, local float *scores)
{
    float top = -INFINITY, sum = 0.0f;
    for (int e = 0; e < E; e++)
        top = fmax(top, from[e]);
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    FOR_LANE(e, E)
        scores[e] = exp(from[e] - top);
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    for (int e = 0; e < E; e++)
        sum += scores[e];
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    FOR_LANE(e, E)
        scores[e] /= sum;
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

/* Of E scores the A largest, ties to the lower index, scaled to sum 1; 0 of the others. All lanes call it. */
static void keep_largest(local float *scores, int E, int A)
{
    if (LANE == 0) {
        ulong chosen = 0;
        float sum = 0.0f;
        for (int a = 0; a < A; a++) {
            int best = -1;
            for (int e = 0; e < E; e++)
                if (!(chosen >> e & 1) && (best < 0 || scores[e] > scores[best]))
                    best = e;
            chosen |= 1UL << best;
            sum += scores[best];
        }
        for (int e = 0; e < E; e++)
            scores[e] = chosen >> e & 1 && sum > 0.0f ? scores[e] / sum : 0.0f;
    }
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

/* h[r] = sum over e < count of weight[r,e] o[r,e]. The weights are the softmax of logits [R,E], or with `active` above
 * 0 those of its largest scores; what weighs 0 is not read. o [R,count,D], h [R,D]. */
kernel void mixture_step(global const float *restrict logits, global const float *restrict o, global float *restrict h,
                         int R, int E, int count, int D, int active)
{
    local float scores[EXPERTS];
    FOR_ROWS(row, R) {
        global const float *from = o + row * count * D;
        softmax_of(logits + row * E, E, scores);
        if (active > 0)
            keep_largest(scores, E, active);
        FOR_LANE_VECTORS(i, D) {
            floatv sum = 0.0f;
            for (int e = 0; e < count; e++)
                if (scores[e] != 0.0f)
                    sum += scores[e] * load_some(from + e * D + i, D - i);
            store_some(sum, h + row * D + i, D - i);
        }
    }
}
