/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/mixture.h"

#include <math.h>

/* One value of the softmax of a row of n. */
static double share(const double *x, int n, int i)
{
    double sum = 0;
    for (int j = 0; j < n; j++)
        sum += exp(x[j] - x[i]);
    return 1 / sum;
}

void mr_ref_softmax_forward(const double *x, double *y, int rows, int experts)
{
    for (int r = 0; r < rows; r++)
        for (int e = 0; e < experts; e++)
            y[r * experts + e] = share(x + r * experts, experts, e);
}

void mr_ref_softmax_backward(const double *x, const double *dy, double *dx, int rows, int experts)
{
    /* d y_j / d x_i = y_j ([i = j] - y_i) */
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < experts; i++) {
            double sum = 0;
            for (int j = 0; j < experts; j++)
                sum += dy[r * experts + j] * share(x + r * experts, experts, j) *
                       ((i == j) - share(x + r * experts, experts, i));
            dx[r * experts + i] = sum;
        }
    }
}

void mr_ref_mixture_forward(const double *scores, const double *o, double *h, int rows, int experts, int active,
                            int dim)
{
    for (int r = 0; r < rows; r++) {
        for (int d = 0; d < dim; d++) {
            h[r * dim + d] = 0;
            for (int e = 0; e < active; e++)
                h[r * dim + d] += scores[r * experts + e] * o[(r * active + e) * dim + d];
        }
    }
}

void mr_ref_mixture_backward(const double *scores, const double *o, const double *dh, double *dscores, double *d_o,
                             int rows, int experts, int active, int dim)
{
    for (int r = 0; r < rows; r++) {
        for (int e = 0; e < experts; e++) {
            dscores[r * experts + e] = 0;
            for (int d = 0; e < active && d < dim; d++) {
                int i = (r * active + e) * dim + d;
                dscores[r * experts + e] += dh[r * dim + d] * o[i];
                d_o[i] = dh[r * dim + d] * scores[r * experts + e];
            }
        }
    }
}

/* The mean over t of column c of o [B,T,n]. */
static double column_mean(const double *o, int b, int time, int n, int c)
{
    double sum = 0;
    for (int t = 0; t < time; t++)
        sum += o[(b * time + t) * n + c];
    return sum / time;
}

double mr_ref_diversity_forward(const double *o, int batch, int time, int active, int dim)
{
    int n = active * dim;
    double sum = 0;
    for (int b = 0; b < batch; b++)
        for (int c = 0; c < n; c++)
            sum += pow(column_mean(o, b, time, n, c), 2);
    return sum / batch / n;
}

void mr_ref_diversity_backward(const double *o, double *d_o, int batch, int time, int active, int dim, double weight)
{
    int n = active * dim;
    for (int b = 0; b < batch; b++)
        for (int c = 0; c < n; c++)
            for (int t = 0; t < time; t++)
                d_o[(b * time + t) * n + c] += weight * 2 * column_mean(o, b, time, n, c) / time / batch / n;
}
