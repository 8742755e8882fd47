/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/elementwise.h"

#include <math.h>

void mr_ref_add_forward(const double *a, const double *b, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void mr_ref_accumulate(const double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void mr_ref_scale(double *x, size_t n, double s)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= s;
}

void mr_ref_tanh_backward(const double *y, const double *dy, double *dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}

void mr_ref_sigmoid_backward(const double *y, const double *dy, double *dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}

void mr_ref_tanh_forward(const double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = tanh(x[i]);
}

void mr_ref_sigmoid_forward(const double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exp(-x[i]));
}

void mr_ref_multiply_forward(const double *a, const double *b, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

void mr_ref_multiply_backward(const double *a, const double *b, const double *dy, double *da, double *db, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        da[i] = dy[i] * b[i];
        db[i] = dy[i] * a[i];
    }
}

void mr_ref_sum_rows(const double *partial, double *y, int rows, int count, int dim)
{
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < count * dim; i++)
            y[i] += partial[(size_t)row * (size_t)(count * dim) + (size_t)i];
}
