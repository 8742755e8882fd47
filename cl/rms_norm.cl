/* SPDX-License-Identifier: GPL-3.0-or-later
 * RMSNorm without a weight: y = x / (|x|/sqrt(C) + eps), rows of C floats. */

/* x [R,C] in, y [R,C] out, rstd [R] out: 1 / (|x|/sqrt(C) + eps), kept for backward. */
kernel void rms_norm_forward(global const float *restrict x, global float *restrict y, global float *restrict rstd,
                             int R, int C, float eps)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *from = x + row * C;
        global float *to = y + row * C;
        float scale = 1.0f / (sqrt(row_sum(lane_squares(from, C, 0.0f), room) / (float)C) + eps);
        FOR_LANE_VECTORS(i, C)
            store_some(load_some(from + i, C - i) * scale, to + i, C - i);
        if (LANE == 0)
            rstd[row] = scale;
    }
}

/* With s = rstd and q = |y|/sqrt(C), which is s * |x|/sqrt(C):
 * dx = s * (dy - y * (dy . y) / (C * q)), the last term 0 where x is 0. += if accumulate. */
kernel void rms_norm_backward(global const float *restrict y, global const float *restrict rstd,
                              global const float *restrict dy, global float *restrict dx, int R, int C, int accumulate)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *out = y + row * C, *from = dy + row * C;
        global float *to = dx + row * C;
        floatv squares = 0.0f, products = 0.0f;
        FOR_LANE_VECTORS(i, C) {
            floatv v = load_some(out + i, C - i);
            squares += v * v;
            products += v * load_some(from + i, C - i);
        }
        float q = sqrt(row_sum(sum_of_vector(squares), room) / (float)C);
        float dot = row_sum(sum_of_vector(products), room);
        float scale = rstd[row], along = q > 0.0f ? dot / ((float)C * q) : 0.0f;
        FOR_LANE_VECTORS(i, C) {
            floatv d = scale * (load_some(from + i, C - i) - load_some(out + i, C - i) * along);
            if (accumulate)
                d += load_some(to + i, C - i);
            store_some(d, to + i, C - i);
        }
    }
}
