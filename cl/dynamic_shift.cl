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
