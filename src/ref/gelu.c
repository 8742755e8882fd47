/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/gelu.h"

#include <math.h>

enum { ERF = 5, TANH = 6, RELU = 7, QUICK = 8 };

static const double pi = 3.14159265358979323846;

static double value(double x, int act)
{
    switch (act) {
    case TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * pow(x, 3))));
    case RELU:
        return x > 0 ? x : 0;
    case QUICK:
        return x / (1 + exp(-1.702 * x));
    default:
        return 0.5 * x * erfc(-x / sqrt(2));
    }
}

static double slope(double x, int act)
{
    double t = tanh(sqrt(2 / pi) * (x + 0.044715 * pow(x, 3)));
    double inner = sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x), s = 1 / (1 + exp(-1.702 * x));
    switch (act) {
    case TANH:
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner;
    case RELU:
        return x > 0;
    case QUICK:
        return s + 1.702 * x * s * (1 - s);
    default:
        return 0.5 * erfc(-x / sqrt(2)) + x * exp(-0.5 * x * x) / sqrt(2 * pi);
    }
}

void mr_ref_gelu_forward(const double *x, double *y, size_t n, int act)
{
    for (size_t i = 0; i < n; i++)
        y[i] = value(x[i], act);
}

void mr_ref_gelu_backward(const double *x, const double *dy, double *dx, size_t n, int act)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * slope(x[i], act);
}
