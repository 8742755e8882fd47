/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/gelu.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

void mr_ref_gelu_forward(const double *x, double *y, size_t n, bool tanh_form)
{
    for (size_t i = 0; i < n; i++)
        y[i] = tanh_form ? 0.5 * x[i] * (1 + tanh(sqrt(2 / pi) * (x[i] + 0.044715 * pow(x[i], 3))))
                         : 0.5 * x[i] * erfc(-x[i] / sqrt(2));
}

void mr_ref_gelu_backward(const double *x, const double *dy, double *dx, size_t n, bool tanh_form)
{
    for (size_t i = 0; i < n; i++) {
        double t = tanh(sqrt(2 / pi) * (x[i] + 0.044715 * pow(x[i], 3)));
        double inner = sqrt(2 / pi) * (1 + 3 * 0.044715 * x[i] * x[i]);
        double exact = 0.5 * erfc(-x[i] / sqrt(2)) + x[i] * exp(-0.5 * x[i] * x[i]) / sqrt(2 * pi);
        dx[i] = dy[i] * (tanh_form ? 0.5 * (1 + t) + 0.5 * x[i] * (1 - t * t) * inner : exact);
    }
}
