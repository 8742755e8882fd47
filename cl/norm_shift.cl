/* SPDX-License-Identifier: GPL-3.0-or-later
 * Norm, token shift and mixing of a decoding step in one launch, for R rows of one token, each with its own slot of
 * the state:
 *     n = norm(x),  out_k = n + (prev - n) * maa_k,  prev being the n that the slot kept; then the slot keeps n.
 * NORM: 0 none, 1 LayerNorm, 2 RMSNorm without a weight. COUNT mixtures, 1 to 6; with KEEPS maa_k is the share of n,
 * not of prev. With REST n itself and prev - n follow the mixtures in out. */
#ifndef COUNT
#define COUNT 6
#define NORM 1
#define KEEPS 0
#define REST 0
#endif

/* x [R,C]; weight, bias [C] (bias may be NULL); maa_k [C], the first COUNT of them used; state [slots,stride], slots
 * [R]; out [COUNT (+ 2), R, C]. Groups: pieces of `piece` columns, rows; each piece takes the statistics anew. */
kernel void norm_shift_step(global const float *restrict x, global const float *restrict weight,
                            global const float *restrict bias, global const float *restrict maa0,
                            global const float *restrict maa1, global const float *restrict maa2,
                            global const float *restrict maa3, global const float *restrict maa4,
                            global const float *restrict maa5, global float *restrict state,
                            global const int *restrict slots, global float *restrict out, int R, int C, int stride,
                            int piece, float eps)
{
    global const float *maa[6] = {maa0, maa1, maa2, maa3, maa4, maa5};
    int row = (int)get_group_id(1), begin = (int)get_group_id(0) * piece, end = min(begin + piece, C);
    global const float *from = x + row * C;
    global float *kept = state + slots[row] * stride;
    float mean = 0.0f, scale = 1.0f;
#if NORM
    local float room[LANES];
#if NORM == 1
    mean = row_sum(lane_sum(from, C), room) / (float)C;
    scale = rsqrt(row_sum(lane_squares(from, C, mean), room) / (float)C + eps);
#else
    scale = 1.0f / (sqrt(row_sum(lane_squares(from, C, 0.0f), room) / (float)C) + eps);
#endif
#endif
    for (int i = begin + LANE * VEC; i < end; i += LANES * VEC) {
        int left = C - i;
        floatv n = (load_some(from + i, left) - mean) * scale;
        if (NORM == 1) {
            n *= load_some(weight + i, left);
            if (bias)
                n += load_some(bias + i, left);
        }
        floatv shift = load_some(kept + i, left) - n;
        store_some(n, kept + i, left);
        global float *to = out + row * C + i;
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            floatv share = load_some(maa[k] + i, left);
            store_some(KEEPS ? n + shift - shift * share : n + shift * share, to + k * R * C, left);
        }
        if (REST) {
            store_some(n, to + COUNT * R * C, left);
            store_some(shift, to + (COUNT + 1) * R * C, left);
        }
    }
}
