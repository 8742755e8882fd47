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
