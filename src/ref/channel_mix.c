/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/channel_mix.h"

#include <math.h>

void mr_ref_squared_relu_forward(const double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] * x[i] : 0;
}

void mr_ref_squared_relu_backward(const double *x, const double *dy, double *dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = x[i] > 0 ? 2 * x[i] * dy[i] : 0;
}

void mr_ref_sigmoid_gate_forward(const double *r, const double *v, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = v[i] / (1 + exp(-r[i]));
}

void mr_ref_sigmoid_gate_backward(const double *r, const double *v, const double *dy, double *dr, double *dv, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double s = 1 / (1 + exp(-r[i]));
        dr[i] = dy[i] * v[i] * s * (1 - s);
        dv[i] = dy[i] * s;
    }
}
