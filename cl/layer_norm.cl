/* SPDX-License-Identifier: GPL-3.0-or-later
 * LayerNorm: y = (x - mean) * rstd * weight + bias, rows of C floats, rstd = 1/sqrt(variance + eps). */

/* x [R,C], weight [C], bias [C] or NULL; y [R,C], mean [R], rstd [R] out. */
kernel void layer_norm_forward(global const float *restrict x, global const float *restrict weight,
                               global const float *restrict bias, global float *restrict y, global float *restrict mean,
                               global float *restrict rstd, int R, int C, float eps)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *from = x + row * C;
        global float *to = y + row * C;
        float m = row_sum(lane_sum(from, C), room) / (float)C;
        float s = rsqrt(row_sum(lane_squares(from, C, m), room) / (float)C + eps);
        FOR_LANE_VECTORS(i, C) {
            floatv v = (load_some(from + i, C - i) - m) * s * load_some(weight + i, C - i);
            if (bias)
                v += load_some(bias + i, C - i);
            store_some(v, to + i, C - i);
        }
        if (LANE == 0) {
            mean[row] = m;
            rstd[row] = s;
        }
    }
}

/* With n = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)), += if
 * accumulate. Each group leaves its rows' sums of dy * n and of dy in partial [groups,2,C]. */
kernel void layer_norm_backward(global const float *restrict x, global const float *restrict weight,
                                global const float *restrict mean, global const float *restrict rstd,
                                global const float *restrict dy, global float *restrict dx,
                                global float *restrict partial, int R, int C, int accumulate)
{
    local float room[LANES];
    global float *dweight = partial + (int)get_group_id(0) * 2 * C, *dbias = dweight + C;
    int first = 1;
    FOR_ROWS(row, R) {
        global const float *in = x + row * C, *from = dy + row * C;
        global float *to = dx + row * C;
        float m = mean[row], s = rstd[row];
        floatv sum = 0.0f, products = 0.0f;
        FOR_LANE_VECTORS(i, C) {
            floatv g = load_some(from + i, C - i) * load_some(weight + i, C - i);
            sum += g;
            products += g * (load_some(in + i, C - i) - m);
        }
        float a = row_sum(sum_of_vector(sum), room) / (float)C;
        float b = row_sum(sum_of_vector(products), room) * s / (float)C;
        FOR_LANE_VECTORS(i, C) {
            floatv n = (load_some(in + i, C - i) - m) * s, g = load_some(from + i, C - i);
            floatv d = s * (g * load_some(weight + i, C - i) - a - n * b);
            if (accumulate)
                d += load_some(to + i, C - i);
            store_some(d, to + i, C - i);
            n *= g;
            if (!first) {
                n += load_some(dweight + i, C - i);
                g += load_some(dbias + i, C - i);
            }
            store_some(n, dweight + i, C - i);
            store_some(g, dbias + i, C - i);
        }
        first = 0;
    }
}
