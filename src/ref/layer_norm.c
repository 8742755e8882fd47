/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/layer_norm.h"

#include <math.h>
#include <stddef.h>

void mr_ref_layer_norm_forward(const double *x, const double *weight, const double *bias, double *y, double *mean,
                               double *rstd, int rows, int dim, double eps)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < dim; i++)
            sum += x[row * dim + i];
        mean[row] = sum / dim;
        for (int i = 0; i < dim; i++)
            squares += pow(x[row * dim + i] - mean[row], 2);
        rstd[row] = 1 / sqrt(squares / dim + eps);
        for (int i = 0; i < dim; i++)
            y[row * dim + i] = (x[row * dim + i] - mean[row]) * rstd[row] * weight[i] + (bias ? bias[i] : 0);
    }
}

void mr_ref_layer_norm_backward(const double *x, const double *weight, const double *mean, const double *rstd,
                                const double *dy, double *dx, double *dweight, double *dbias, int rows, int dim)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        double sum = 0, products = 0; /* of g = dy weight, and of g with the normalised x */
        for (int i = 0; i < dim; i++) {
            double n = (x[row * dim + i] - mean[row]) * rstd[row], g = dy[row * dim + i] * weight[i];
            sum += g;
            products += g * n;
            dweight[i] += dy[row * dim + i] * n;
            if (dbias)
                dbias[i] += dy[row * dim + i];
        }
        for (int i = 0; i < dim; i++) {
            double n = (x[row * dim + i] - mean[row]) * rstd[row], g = dy[row * dim + i] * weight[i];
            dx[row * dim + i] = rstd[row] * (g - sum / dim - n * products / dim);
        }
    }
}
