/* SPDX-License-Identifier: GPL-3.0-or-later
 * GroupNorm over the H heads of a row, N floats each (-D), C = H*N: y = (x - mean) * rstd * weight + bias,
 * the statistics per head, rstd = 1/sqrt(variance + eps). A group takes a share of the rows and, where
 * work-items share a row, one head. A head is read once and stays in registers. */
#ifndef N
#define N 64
#endif

#define FOR_HEADS(h, H) for (int h = (int)get_group_id(1); h < (H); h += (int)get_num_groups(1))

#define MINE ((VECTORS(N) + LANES - 1) / LANES) /* vectors of a lane */
#define FOR_MINE(j) for (int j = 0; j < MINE; j++)
#define AT(j) ((LANE + (j)*LANES) * VEC) /* the column of the lane's vector j; beyond N: nothing there */

/* x [R,C], weight [C], bias [C]; y [R,C], mean [R,H], rstd [R,H] out. */
kernel void group_norm_forward(global const float *restrict x, global const float *restrict weight,
                               global const float *restrict bias, global float *restrict y, global float *restrict mean,
                               global float *restrict rstd, int R, int H, float eps)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int unit = row * H + h;
            global const float *from = x + unit * N, *scale = weight + h * N, *shift = bias + h * N;
            global float *to = y + unit * N;
            floatv v[MINE], sum = 0.0f, squares = 0.0f;
#pragma unroll
            FOR_MINE(j) {
                v[j] = load_some(from + AT(j), N - AT(j));
                sum += v[j];
            }
            float m = row_sum(sum_of_vector(sum), room) * (1.0f / N);
#pragma unroll
            FOR_MINE(j) {
                floatv d = load_or(from + AT(j), N - AT(j), m) - m;
                squares += d * d;
            }
            float s = rsqrt(row_sum(sum_of_vector(squares), room) * (1.0f / N) + eps);
#pragma unroll
            FOR_MINE(j) {
                int left = N - AT(j);
                floatv n = (v[j] - m) * s;
                store_some(n * load_some(scale + AT(j), left) + load_some(shift + AT(j), left), to + AT(j), left);
            }
            if (LANE == 0) {
                mean[unit] = m;
                rstd[unit] = s;
            }
        }
    }
}

/* With n = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)) per head, += if
 * accumulate. The groups of a share of rows leave its sums of dy * n and of dy in partial [shares,2,C]. */
kernel void group_norm_backward(global const float *restrict x, global const float *restrict weight,
                                global const float *restrict mean, global const float *restrict rstd,
                                global const float *restrict dy, global float *restrict dx,
                                global float *restrict partial, int R, int H, int accumulate)
{
    local float room[LANES];
    int first = 1;
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int unit = row * H + h;
            global const float *in = x + unit * N, *from = dy + unit * N, *scale = weight + h * N;
            global float *to = dx + unit * N;
            global float *dweight = partial + ((int)get_group_id(0) * 2 * H + h) * N, *dbias = dweight + H * N;
            float m = mean[unit], s = rstd[unit];
            floatv n[MINE], d[MINE], sum = 0.0f, products = 0.0f;
#pragma unroll
            FOR_MINE(j) {
                int left = N - AT(j);
                n[j] = (load_some(in + AT(j), left) - m) * s;
                d[j] = load_some(from + AT(j), left);
                floatv g = d[j] * load_some(scale + AT(j), left);
                sum += g;
                products += g * n[j];
            }
            float a = row_sum(sum_of_vector(sum), room) * (1.0f / N);
            float b = row_sum(sum_of_vector(products), room) * (1.0f / N);
#pragma unroll
            FOR_MINE(j) {
                int left = N - AT(j);
                floatv v = s * (d[j] * load_some(scale + AT(j), left) - a - n[j] * b), u = d[j] * n[j], w = d[j];
                if (accumulate)
                    v += load_some(to + AT(j), left);
                store_some(v, to + AT(j), left);
                if (!first) {
                    u += load_some(dweight + AT(j), left);
                    w += load_some(dbias + AT(j), left);
                }
                store_some(u, dweight + AT(j), left);
                store_some(w, dbias + AT(j), left);
            }
        }
        first = 0;
    }
}
