/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/linear.h"

void mr_ref_linear_forward(const double *x, const double *w, const double *bias, double *y, int rows, int in, int out,
                           int ld)
{
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0;
            for (int i = 0; i < in; i++)
                sum += w[o * in + i] * x[r * in + i];
            y[r * ld + o] = sum;
        }
}

void mr_ref_linear_backward_input(const double *dy, const double *w, double *dx, int rows, int in, int out, int ld)
{
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < in; i++) {
            double sum = 0;
            for (int o = 0; o < out; o++)
                sum += dy[r * ld + o] * w[o * in + i];
            dx[r * in + i] = sum;
        }
}

void mr_ref_linear_backward_weight(const double *x, const double *dy, double *dw, double *dbias, int rows, int in,
                                   int out, int ld)
{
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            double d = dy[r * ld + o];
            for (int i = 0; i < in; i++)
                dw[o * in + i] += d * x[r * in + i];
            if (dbias)
                dbias[o] += d;
        }
}
