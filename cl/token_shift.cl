/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token shift: out_k = x + (prev - x) * maa_k, where prev is the row of the position before, for COUNT
 * mixtures at once (-D, 1 to 6; of the pointers only the first COUNT are used). Rows b*T+t of C floats.
 * With KEEPS maa_k is the share of x, not of prev. */
#ifndef COUNT
#define COUNT 6
#endif
#ifndef KEEPS
#define KEEPS 0
#endif

/* x [B*T,C], previous [B,C] or NULL: the row before t = 0 (NULL: zeros); maa_k [C] in, out_k [B*T,C] out. */
kernel void token_shift_forward(global const float *restrict x, global const float *restrict previous,
                                global const float *restrict maa0, global const float *restrict maa1,
                                global const float *restrict maa2, global const float *restrict maa3,
                                global const float *restrict maa4, global const float *restrict maa5,
                                global float *restrict out0, global float *restrict out1, global float *restrict out2,
                                global float *restrict out3, global float *restrict out4, global float *restrict out5,
                                int R, int T, int C)
{
    global const float *maa[6] = {maa0, maa1, maa2, maa3, maa4, maa5};
    global float *out[6] = {out0, out1, out2, out3, out4, out5};
    FOR_ROWS(row, R) {
        global const float *from = x + row * C;
        global const float *before = row % T ? from - C : previous ? previous + row / T * C : 0;
        FOR_LANE_VECTORS(i, C) {
            int left = C - i;
            floatv v = load_some(from + i, left), shift = -v;
            if (before)
                shift += load_some(before + i, left);
#pragma unroll
            for (int k = 0; k < COUNT; k++)
                store_some(KEEPS ? v + shift - shift * load_some(maa[k] + i, left)
                                 : v + shift * load_some(maa[k] + i, left),
                           out[k] + row * C + i, left);
        }
    }
}

/* Backward of the rows first..last, for the `left` columns from the pointers on: dx of these rows, and their
 * sums of (prev - x) * dout_k (of (x - prev) * dout_k with KEEPS) written (or added, if `add`) to dmaa [COUNT,C]. From
 * the last row to the first, so that what a row gives to the one before stays in registers; t is the last row's
 * position. */
static inline __attribute__((always_inline)) void
shift_backward(global const float *restrict x, global const float *const *maa, global const float *const *dout,
               global float *restrict dx, global float *restrict dmaa, int first, int last, int t, int T, int C, int i,
               int left, int add, int accumulate)
{
    floatv mix[COUNT], sum[COUNT], after = 0.0f, v = load_some(x + last * C + i, left);
#pragma unroll
    for (int k = 0; k < COUNT; k++) {
        mix[k] = KEEPS ? 1.0f - load_some(maa[k] + i, left) : load_some(maa[k] + i, left);
        sum[k] = add ? load_some(dmaa + k * C + i, left) : 0.0f;
        if (t + 1 < T)
            after += load_some(dout[k] + (last + 1) * C + i, left) * mix[k];
    }
    for (int row = last; row >= first; row--) {
        floatv earlier = row ? load_some(x + (row - 1) * C + i, left) : 0.0f;
        floatv shift = t ? earlier - v : -v, all = 0.0f, shifted = 0.0f;
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            floatv g = load_some(dout[k] + row * C + i, left);
            sum[k] += KEEPS ? -shift * g : shift * g;
            all += g;
            shifted += g * mix[k];
        }
        floatv d = all - shifted + after;
        if (accumulate)
            d += load_some(dx + row * C + i, left);
        store_some(d, dx + row * C + i, left);
        after = t ? shifted : 0.0f;
        t = t ? t - 1 : T - 1;
        v = earlier;
    }
#pragma unroll
    for (int k = 0; k < COUNT; k++)
        store_some(sum[k], dmaa + k * C + i, left);
}

/* dx_t = sum_k dout_k,t * (1 - maa_k) + dout_k,t+1 * maa_k (the second while t+1 < T; with KEEPS 1 - maa_k and maa_k
 * change places), += if accumulate; each group leaves its rows' sums of (prev - x) * dout_k in partial
 * [groups,COUNT,C]. The row before t = 0 is zeros. Rows go in strips of STRIP, a vector of columns at a time. */
#define STRIP 8
kernel void token_shift_backward(global const float *restrict x, global const float *restrict maa0,
                                 global const float *restrict maa1, global const float *restrict maa2,
                                 global const float *restrict maa3, global const float *restrict maa4,
                                 global const float *restrict maa5, global const float *restrict dout0,
                                 global const float *restrict dout1, global const float *restrict dout2,
                                 global const float *restrict dout3, global const float *restrict dout4,
                                 global const float *restrict dout5, global float *restrict dx,
                                 global float *restrict partial, int R, int T, int C, int accumulate)
{
    global const float *maa[6] = {maa0, maa1, maa2, maa3, maa4, maa5};
    global const float *dout[6] = {dout0, dout1, dout2, dout3, dout4, dout5};
    global float *dmaa = partial + (int)get_group_id(0) * COUNT * C;
    int begin = (int)((long)R * (long)get_group_id(0) / (long)get_num_groups(0));
    int end = (int)((long)R * ((long)get_group_id(0) + 1) / (long)get_num_groups(0));
    for (int first = begin; first < end; first += STRIP) {
        int last = min(first + STRIP, end) - 1, t = last % T, add = first > begin;
        int i = LANE * VEC;
        for (; i + VEC <= C; i += LANES * VEC) /* with a constant VEC nothing is asked at each load */
            shift_backward(x, maa, dout, dx, dmaa, first, last, t, T, C, i, VEC, add, accumulate);
        if (i < C)
            shift_backward(x, maa, dout, dx, dmaa, first, last, t, T, C, i, C - i, add, accumulate);
    }
}

/* previous[b] = x[b,T-1] */
kernel void token_shift_state(global const float *restrict x, global float *restrict previous, int B, int T, int C)
{
    FOR_ROWS(b, B) {
        FOR_LANE_VECTORS(i, C)
            store_some(load_some(x + ((b + 1) * T - 1) * C + i, C - i), previous + b * C + i, C - i);
    }
}
