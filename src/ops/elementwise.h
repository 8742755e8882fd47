/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sums and products element by element; n is a number of elements, at most 2^30. */
#ifndef MR_OPS_ELEMENTWISE_H
#define MR_OPS_ELEMENTWISE_H

#include "rt/rt.h"

/* y = a + b; y may be a or b. (mr_add is base/'s checked sum of sizes.) */
int mr_add_forward(mr_runtime *rt, const mr_tensor *a, const mr_tensor *b, const mr_tensor *y, size_t n);

/* y = y + x; the backward of a sum, and of a value used twice. */
int mr_accumulate(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n);

/* x = s x */
int mr_scale(mr_runtime *rt, const mr_tensor *x, size_t n, float s);

/* y = tanh(x), y = sigmoid(x); y may be x. */
int mr_tanh_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n);
int mr_sigmoid_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n);
/* From what they gave: dx = dy (1 - y^2), dx = dy y (1 - y); dx may be dy. */
int mr_tanh_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, size_t n);
int mr_sigmoid_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, size_t n);

/* Some columns of a matrix: row r lies at offset + r * stride elements; stride 0 means tight (dim). */
struct mr_columns {
    const mr_tensor *tensor;
    size_t offset;
    int stride;
};

/* y = a * b for rows x dim numbers; y may be a or b. */
int mr_multiply_forward(mr_runtime *rt, struct mr_columns a, struct mr_columns b, struct mr_columns y, int rows,
                        int dim);

/* da = dy * b, db = dy * a; da and db lie apart from a, b and each other, da may be dy. */
int mr_multiply_backward(mr_runtime *rt, struct mr_columns a, struct mr_columns b, struct mr_columns dy,
                         struct mr_columns da, struct mr_columns db, int rows, int dim);

/* y[k][c] += sum over rows of partial[row][k][c], partial [rows,count,dim], k < count <= 6; a y[k] that is
 * NULL or {0} is left out. Ends the gradients of parameter vectors: first each block of rows, then this. */
int mr_sum_rows(mr_runtime *rt, const mr_tensor *partial, const mr_tensor *const y[], int rows, int count, int dim);

#endif
