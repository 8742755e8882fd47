/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/elementwise.h. */
#ifndef MR_REF_ELEMENTWISE_H
#define MR_REF_ELEMENTWISE_H

#include <stddef.h>

void mr_ref_add_forward(const double *a, const double *b, double *y, size_t n);
void mr_ref_accumulate(const double *x, double *y, size_t n);
void mr_ref_scale(double *x, size_t n, double s);
void mr_ref_tanh_forward(const double *x, double *y, size_t n);
void mr_ref_sigmoid_forward(const double *x, double *y, size_t n);
/* From what they gave */
void mr_ref_tanh_backward(const double *y, const double *dy, double *dx, size_t n);
void mr_ref_sigmoid_backward(const double *y, const double *dy, double *dx, size_t n);
void mr_ref_multiply_forward(const double *a, const double *b, double *y, size_t n);
void mr_ref_multiply_backward(const double *a, const double *b, const double *dy, double *da, double *db, size_t n);
/* y[k * dim + c] += sum over rows of partial[row][k][c] */
void mr_ref_sum_rows(const double *partial, double *y, int rows, int count, int dim);

#endif
