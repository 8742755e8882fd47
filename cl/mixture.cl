/* SPDX-License-Identifier: GPL-3.0-or-later
 * A mixture of experts: the softmax of the gate, the weighted sum of the experts' outputs, and the auxiliary
 * term that wants their means small. R rows (tokens), E scores a row, A experts that run, D their width. */

static inline float max_of_vector(floatv a)
{
#if VEC == 16
    float8 b = fmax(a.lo, a.hi);
    float4 c = fmax(b.lo, b.hi);
#elif VEC == 8
    float4 c = fmax(a.lo, a.hi);
#else
    float4 c = a;
#endif
    return fmax(fmax(c.x, c.z), fmax(c.y, c.w));
}

/* y = softmax(x) over rows of n floats; `zeros` more logits of 0 take part in the sum, unseen. y may be x. */
kernel void softmax_forward(global const float *x, global float *y, int R, int n, int zeros)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *from = x + row * n;
        global float *to = y + row * n;
        floatv tops = zeros > 0 ? 0.0f : -INFINITY;
        FOR_LANE_VECTORS(i, n)
            tops = fmax(tops, load_or(from + i, n - i, -INFINITY));
        float top = row_max(max_of_vector(tops), room);
        floatv sums = 0.0f;
        FOR_LANE_VECTORS(i, n) {
            floatv e = exp(load_or(from + i, n - i, -INFINITY) - top);
            sums += e;
            store_some(e, to + i, n - i);
        }
        float sum = row_sum(sum_of_vector(sums), room) + (zeros > 0 ? (float)zeros * exp(-top) : 0.0f);
        FOR_LANE_VECTORS(i, n)
            store_some(load_some(to + i, n - i) / sum, to + i, n - i);
    }
}

/* dx = y * (dy - dy . y) over rows of n floats, y = softmax(x); dx may be dy. Logits of 0 that took part
 * unseen have no gradient, so they change nothing here. */
kernel void softmax_backward(global const float *y, global const float *dy, global float *dx, int R, int n)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *out = y + row * n, *from = dy + row * n;
        global float *to = dx + row * n;
        floatv products = 0.0f;
        FOR_LANE_VECTORS(i, n)
            products += load_some(out + i, n - i) * load_some(from + i, n - i);
        float dot = row_sum(sum_of_vector(products), room);
        FOR_LANE_VECTORS(i, n)
            store_some(load_some(out + i, n - i) * (load_some(from + i, n - i) - dot), to + i, n - i);
    }
}

/* h[r] = sum over e < A of scores[r,e] * o[r,e]: scores [R,E], o [R,A,D], h [R,D] */
kernel void mixture_forward(global const float *restrict scores, global const float *restrict o,
                            global float *restrict h, int R, int E, int A, int D)
{
    FOR_ROWS(row, R) {
        global const float *s = scores + row * E, *from = o + row * A * D;
        global float *to = h + row * D;
        FOR_LANE_VECTORS(i, D) {
            floatv sum = s[0] * load_some(from + i, D - i);
            for (int e = 1; e < A; e++)
                sum += s[e] * load_some(from + e * D + i, D - i);
            store_some(sum, to + i, D - i);
        }
    }
}

/* d_o[r,e] = scores[r,e] * dh[r]; dscores[r,e] = dh[r] . o[r,e] for e < A, 0 for the others */
kernel void mixture_backward(global const float *restrict scores, global const float *restrict o,
                             global const float *restrict dh, global float *restrict dscores,
                             global float *restrict d_o, int R, int E, int A, int D)
{
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *s = scores + row * E, *from = dh + row * D;
        for (int e = 0; e < A; e++) {
            global const float *out = o + (row * A + e) * D;
            global float *to = d_o + (row * A + e) * D;
            floatv products = 0.0f;
            FOR_LANE_VECTORS(i, D) {
                floatv g = load_some(from + i, D - i);
                products += g * load_some(out + i, D - i);
                store_some(s[e] * g, to + i, D - i);
            }
            float dot = row_sum(sum_of_vector(products), room);
            if (LANE == 0)
                dscores[row * E + e] = dot;
        }
        for (int e = A + LANE; e < E; e += LANES)
            dscores[row * E + e] = 0.0f;
    }
}

/* mean[b,c] = the mean over t of o[b,t,c], n columns (A*D); groups: (columns, b). A lane alone takes four
 * vectors of columns at a time, so that it reads rows in longer pieces. */
#define STRIPE (LANES == 1 ? 4 * VEC : VEC)

kernel void diversity_mean(global const float *restrict o, global float *restrict mean, int T, int n)
{
    global const float *from = o + (int)get_group_id(1) * T * n;
    global float *to = mean + (int)get_group_id(1) * n;
    int step = (int)get_num_groups(0) * LANES * STRIPE;
    for (int start = (int)get_global_id(0) * STRIPE; start < n; start += step) {
#if LANES == 1
        if (start + STRIPE <= n) {
            floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
            for (int t = 0; t < T; t++) {
                global const float *p = from + t * n + start;
                a += vloadv(0, p), b += vloadv(1, p), c += vloadv(2, p), d += vloadv(3, p);
            }
            global float *p = to + start;
            vstorev(a / (float)T, 0, p), vstorev(b / (float)T, 1, p);
            vstorev(c / (float)T, 2, p), vstorev(d / (float)T, 3, p);
            continue;
        }
#endif
        for (int i = start; i < min(start + STRIPE, n); i += VEC) {
            floatv sum = 0.0f;
            for (int t = 0; t < T; t++)
                sum += load_some(from + t * n + i, n - i);
            store_some(sum / (float)T, to + i, n - i);
        }
    }
}

/* loss[0] += factor * the sum of the squares of mean, n floats; one group */
kernel void diversity_loss(global const float *restrict mean, global float *restrict loss, int n, float factor)
{
    local float room[LANES];
    floatv squares = 0.0f;
    FOR_LANE_VECTORS(i, n) {
        floatv m = load_some(mean + i, n - i);
        squares += m * m;
    }
    float sum = row_sum(sum_of_vector(squares), room);
    if (LANE == 0)
        loss[0] += factor * sum;
}

/* d_o[b,t,c] += factor * mean[b,c]: R = B*T rows of n = A*D */
kernel void diversity_backward(global const float *restrict mean, global float *restrict d_o, int R, int T, int n,
                               float factor)
{
    FOR_ROWS(row, R) {
        global const float *m = mean + row / T * n;
        global float *to = d_o + row * n;
        FOR_LANE_VECTORS(i, n)
            store_some(load_some(to + i, n - i) + factor * load_some(m + i, n - i), to + i, n - i);
    }
}
