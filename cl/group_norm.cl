/* SPDX-License-Identifier: GPL-3.0-or-later
 * GroupNorm over the H heads of a row, N floats each, C = H*N: y = (x - mean) * rstd * weight + bias, the
 * statistics per head, rstd = 1/sqrt(variance + eps). A group takes a share of the rows and, where work-items
 * share a row, one head. */

#define FOR_HEADS(h, H) for (int h = (int)get_group_id(1); h < (H); h += (int)get_num_groups(1))

/* x [R,C], weight [C], bias [C]; y [R,C], mean [R,H], rstd [R,H] out. */
kernel void group_norm_forward(global const float *restrict x, global const float *restrict weight,
                               global const float *restrict bias, global float *restrict y,
                               global float *restrict mean, global float *restrict rstd, int R, int H, int N,
                               float eps)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int start = (row * H + h) * N;
            global const float *from = x + start, *scale = weight + h * N, *shift = bias + h * N;
            global float *to = y + start;
            floatv sum = 0.0f, squares = 0.0f;
            FOR_LANE_VECTORS(i, N)
                sum += load_some(from + i, N - i);
            float m = row_sum(sum_of_vector(sum), room) / (float)N;
            FOR_LANE_VECTORS(i, N) {
                floatv d = load_or(from + i, N - i, m) - m;
                squares += d * d;
            }
            float s = rsqrt(row_sum(sum_of_vector(squares), room) / (float)N + eps);
            FOR_LANE_VECTORS(i, N) {
                floatv v = (load_some(from + i, N - i) - m) * s;
                store_some(v * load_some(scale + i, N - i) + load_some(shift + i, N - i), to + i, N - i);
            }
            if (LANE == 0) {
                mean[row * H + h] = m;
                rstd[row * H + h] = s;
            }
        }
    }
}

/* With n = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)) per head, += if
 * accumulate. The groups of a share of rows leave its sums of dy * n and of dy in partial [shares,2,C]. */
kernel void group_norm_backward(global const float *restrict x, global const float *restrict weight,
                                global const float *restrict mean, global const float *restrict rstd,
                                global const float *restrict dy, global float *restrict dx,
                                global float *restrict partial, int R, int H, int N, int accumulate)
{
    local float room[LANES];
    int first = 1;
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int start = (row * H + h) * N;
            global const float *in = x + start, *from = dy + start, *scale = weight + h * N;
            global float *to = dx + start;
            global float *dweight = partial + ((int)get_group_id(0) * 2 * H + h) * N,
                         *dbias = dweight + H * N;
            float m = mean[row * H + h], s = rstd[row * H + h];
            floatv sum = 0.0f, products = 0.0f;
            FOR_LANE_VECTORS(i, N) {
                floatv g = load_some(from + i, N - i) * load_some(scale + i, N - i);
                sum += g;
                products += g * (load_some(in + i, N - i) - m);
            }
            float a = row_sum(sum_of_vector(sum), room) / (float)N;
            float b = row_sum(sum_of_vector(products), room) * s / (float)N;
            FOR_LANE_VECTORS(i, N) {
                floatv n = (load_some(in + i, N - i) - m) * s, g = load_some(from + i, N - i);
                floatv d = s * (g * load_some(scale + i, N - i) - a - n * b);
                if (accumulate)
                    d += load_some(to + i, N - i);
                store_some(d, to + i, N - i);
                n *= g;
                if (!first) {
                    n += load_some(dweight + i, N - i);
                    g += load_some(dbias + i, N - i);
                }
                store_some(n, dweight + i, N - i);
                store_some(g, dbias + i, N - i);
            }
        }
        first = 0;
    }
}
