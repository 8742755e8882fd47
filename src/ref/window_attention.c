/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/window_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* p[s], s in first..t: the weights of one query; rows of k are `stride` apart. Returns the logarithm of the sum. */
static double weights(double *p, const double *q, const double *k, int first, int t, int width, int stride,
                      double scale)
{
    double top = -INFINITY, sum = 0;
    for (int s = first; s <= t; s++) {
        p[s] = scale * dot(q, k + s * stride, width);
        top = fmax(top, p[s]);
    }
    for (int s = first; s <= t; s++)
        sum += exp(p[s] - top);
    for (int s = first; s <= t; s++)
        p[s] = exp(p[s] - top) / sum;
    return top + log(sum);
}

static double of(const double *factor, ptrdiff_t row, int time, int s)
{
    return factor ? factor[row * time + s] : 1;
}

void mr_ref_window_attention_forward(const double *q, const double *k, const double *v, double *y, double *lse,
                                     int batch, int time, int heads, int width, int window, double scale,
                                     const double *factor)
{
    int stride = heads * width;
    double *p = mr_alloc((size_t)time, sizeof *p);
    for (int b = 0; b < batch; b++)
        for (int h = 0; h < heads; h++)
            for (int t = 0; t < time; t++) {
                ptrdiff_t head = (ptrdiff_t)b * time * stride + h * width, at = head + t * stride;
                int first = t < window ? 0 : t - window + 1;
                double sum = weights(p, q + at, k + head, first, t, width, stride, scale);
                if (lse)
                    lse[(b * heads + h) * time + t] = sum;
                for (int j = 0; j < width; j++) {
                    y[at + j] = 0;
                    for (int s = first; s <= t; s++)
                        y[at + j] += p[s] * of(factor, (ptrdiff_t)(b * heads + h) * time + t, time, s) *
                                     v[head + s * stride + j];
                }
            }
    free(p);
}

void mr_ref_window_attention_backward(const double *q, const double *k, const double *v, const double *dy,
                                      double *const d[3], int batch, int time, int heads, int width, int window,
                                      double scale, const double *factor)
{
    int stride = heads * width;
    size_t bytes = (size_t)batch * (size_t)time * (size_t)stride * sizeof *d[0];
    double *dq = d[0], *dk = d[1], *dv = d[2];
    double *p = mr_alloc((size_t)time, sizeof *p), *dp = mr_alloc((size_t)time, sizeof *dp);
    memset(dq, 0, bytes);
    memset(dk, 0, bytes);
    memset(dv, 0, bytes);
    for (int b = 0; b < batch; b++)
        for (int h = 0; h < heads; h++)
            for (int t = 0; t < time; t++) {
                ptrdiff_t head = (ptrdiff_t)b * time * stride + h * width, at = head + t * stride;
                int first = t < window ? 0 : t - window + 1;
                ptrdiff_t row = (ptrdiff_t)(b * heads + h) * time + t;
                double mean = 0;
                weights(p, q + at, k + head, first, t, width, stride, scale);
                for (int s = first; s <= t; s++) {
                    dp[s] = of(factor, row, time, s) * dot(dy + at, v + head + s * stride, width);
                    mean += p[s] * dp[s];
                }
                for (int s = first; s <= t; s++)
                    for (int j = 0; j < width; j++) {
                        ptrdiff_t key = head + s * stride + j;
                        double slope = scale * p[s] * (dp[s] - mean);
                        dv[key] += p[s] * of(factor, row, time, s) * dy[at + j];
                        dk[key] += slope * q[at + j];
                        dq[at + j] += slope * k[key];
                    }
            }
    free(p);
    free(dp);
}
