/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-6's token shift, whose five mixtures depend on the data: out_k = x + (prev - x) * (maa_k + m_k), where prev is
 * the row of the position before. Rows b*T+t of C floats. */

/* x [R,C], R = B*T; previous [B,C] or NULL: the row before t = 0 (NULL: zeros); maa_k [C]; mixed [5,R,C] holds m before
 * and the mixtures after. */
kernel void dynamic_shift_forward(global const float *restrict x, global const float *restrict previous,
                                  global const float *restrict maa0, global const float *restrict maa1,
                                  global const float *restrict maa2, global const float *restrict maa3,
                                  global const float *restrict maa4, global float *restrict mixed, int R, int T, int C)
{
    global const float *maa[5] = {maa0, maa1, maa2, maa3, maa4};
    FOR_ROWS(row, R) {
        global const float *from = x + row * C;
        global const float *before = row % T ? from - C : previous ? previous + row / T * C : 0;
        FOR_LANE_VECTORS(i, C) {
            int left = C - i;
            floatv v = load_some(from + i, left), shift = -v;
            if (before)
                shift += load_some(before + i, left);
#pragma unroll
            for (int k = 0; k < 5; k++) {
                global float *to = mixed + (k * R + row) * C + i;
                store_some(v + shift * (load_some(maa[k] + i, left) + load_some(to, left)), to, left);
            }
        }
    }
}

/* Backward, with the row before t = 0 zeros: dx_t = sum_k dout_k,t (1 - s_k,t) + dout_k,t+1 s_k,t+1 (the second while
 * t+1 < T), s_k = maa_k + m_k; each group leaves its rows' sums of (prev - x) dout_k in partial [groups,5,C]. m and
 * dout [5,R,C]. From the last row of a group to the first, so that what a row gives to the one before stays in
 * registers. */
kernel void dynamic_shift_backward(global const float *restrict x, global const float *restrict maa0,
                                   global const float *restrict maa1, global const float *restrict maa2,
                                   global const float *restrict maa3, global const float *restrict maa4,
                                   global const float *restrict m, global const float *restrict dout,
                                   global float *restrict dx, global float *restrict partial, int R, int T, int C)
{
    global const float *maa[5] = {maa0, maa1, maa2, maa3, maa4};
    global float *dmaa = partial + (int)get_group_id(0) * 5 * C;
    int first = (int)((long)R * (long)get_group_id(0) / (long)get_num_groups(0));
    int end = (int)((long)R * ((long)get_group_id(0) + 1) / (long)get_num_groups(0));
    FOR_LANE_VECTORS(i, C) {
        int left = C - i, t = (end - 1) % T;
        floatv mix[5], sum[5], after = 0.0f, v = load_some(x + (end - 1) * C + i, left);
#pragma unroll
        for (int k = 0; k < 5; k++) {
            int at = (k * R + end) * C + i;
            mix[k] = load_some(maa[k] + i, left);
            sum[k] = 0.0f;
            if (t + 1 < T)
                after += load_some(dout + at, left) * (mix[k] + load_some(m + at, left));
        }
        for (int row = end - 1; row >= first; row--) {
            floatv earlier = row ? load_some(x + (row - 1) * C + i, left) : 0.0f;
            floatv shift = t ? earlier - v : -v, all = 0.0f, shifted = 0.0f;
#pragma unroll
            for (int k = 0; k < 5; k++) {
                int at = (k * R + row) * C + i;
                floatv g = load_some(dout + at, left);
                sum[k] += shift * g;
                all += g;
                shifted += g * (mix[k] + load_some(m + at, left));
            }
            store_some(all - shifted + after, dx + row * C + i, left);
            after = t ? shifted : 0.0f;
            t = t ? t - 1 : T - 1;
            v = earlier;
        }
#pragma unroll
        for (int k = 0; k < 5; k++)
            store_some(sum[k], dmaa + k * C + i, left);
    }
}

/* In place, [5,R,C]: from dout_k to dm_k = (prev - x) dout_k */
kernel void dynamic_shift_gradients(global const float *restrict x, global float *restrict dout, int R, int T, int C)
{
    FOR_ROWS(row, R) {
        FOR_LANE_VECTORS(i, C) {
            int left = C - i;
            floatv shift = -load_some(x + row * C + i, left);
            if (row % T)
                shift += load_some(x + (row - 1) * C + i, left);
#pragma unroll
            for (int k = 0; k < 5; k++) {
                global float *to = dout + (k * R + row) * C + i;
                store_some(shift * load_some(to, left), to, left);
            }
        }
    }
}

/* The step of R rows: m_k = low_k w2_k is made here. low [R,5*E], w2 [5,E,C], maa_k [C]; x and prev - x are the second
 * and the third part of mixes [3,R,C], as norm_shift_step leaves them; mixed [5,R,C]. Groups: shares of the blocks of
 * WIDE * LANES columns of the 5 mixtures. SHARE rows take a weight at once. */
#define WIDE (LANES == 1 ? 4 * VEC : VEC)
#define SHARE 4
kernel void dynamic_shift_step(global const float *restrict low, global const float *restrict w2,
                               global const float *restrict mixes, global const float *restrict maa0,
                               global const float *restrict maa1, global const float *restrict maa2,
                               global const float *restrict maa3, global const float *restrict maa4,
                               global float *restrict mixed, int R, int E, int C)
{
    global const float *x = mixes + R * C, *shift = x + R * C;
    global const float *maa[5] = {maa0, maa1, maa2, maa3, maa4};
    int blocks = (C + WIDE * LANES - 1) / (WIDE * LANES);
    FOR_ROWS(block, 5 * blocks) {
        int k = block / blocks, first = (block % blocks * LANES + LANE) * WIDE;
        for (int i = first; i < min(first + WIDE, C); i += VEC) {
            int left = C - i;
            floatv share = load_some(maa[k] + i, left);
            for (int row0 = 0; row0 < R; row0 += SHARE) {
                floatv m[SHARE];
#pragma unroll
                for (int r = 0; r < SHARE; r++)
                    m[r] = 0.0f;
                for (int e = 0; e < E; e++) {
                    floatv w = load_some(w2 + (k * E + e) * C + i, left);
#pragma unroll
                    for (int r = 0; r < SHARE; r++)
                        m[r] = fma((floatv)low[min(row0 + r, R - 1) * 5 * E + k * E + e], w, m[r]);
                }
#pragma unroll
                for (int r = 0; r < SHARE; r++) {
                    int at = (row0 + r) * C + i;
                    if (row0 + r < R)
                        store_some(load_some(x + at, left) + load_some(shift + at, left) * (share + m[r]),
                                   mixed + k * R * C + at, left);
                }
            }
        }
    }
}
