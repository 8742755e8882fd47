/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/rms_norm.h"

#include <math.h>
#include <stddef.h>

void mr_ref_rms_norm_forward(const double *x, double *y, double *rstd, int rows, int dim, double eps)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        double squares = 0;
        for (int i = 0; i < dim; i++)
            squares += x[row * dim + i] * x[row * dim + i];
        rstd[row] = 1 / (sqrt(squares / dim) + eps);
        for (int i = 0; i < dim; i++)
            y[row * dim + i] = x[row * dim + i] * rstd[row];
    }
}

void mr_ref_rms_norm_backward(const double *x, const double *dy, double *dx, int rows, int dim, double eps)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        double squares = 0, dot = 0;
        for (int i = 0; i < dim; i++) {
            squares += x[row * dim + i] * x[row * dim + i];
            dot += x[row * dim + i] * dy[row * dim + i];
        }
        /* y_i = x_i s, s = 1 / (m + eps), m = sqrt(mean of x^2), dm/dx_i = x_i / (dim m) */
        double m = sqrt(squares / dim), s = 1 / (m + eps);
        for (int i = 0; i < dim; i++)
            dx[row * dim + i] = s * dy[row * dim + i] - (m > 0 ? s * s * dot * x[row * dim + i] / (dim * m) : 0);
    }
}
