/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/silu_gate.h"

#include <math.h>

void mr_ref_silu_gate_forward(const double *x, const double *g, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * g[i] / (1 + exp(-g[i]));
}

void mr_ref_silu_gate_backward(const double *x, const double *g, const double *dy, double *dx, double *dg, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double s = 1 / (1 + exp(-g[i]));
        dx[i] = dy[i] * g[i] * s;
        dg[i] = dy[i] * x[i] * (s + g[i] * s * (1 - s));
    }
}
