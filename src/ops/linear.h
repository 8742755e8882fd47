/* SPDX-License-Identifier: GPL-3.0-or-later
 * Linear layers: y = x W^T + b, W [out,in] as PyTorch stores it, b [out] or NULL. x [rows,in], y [rows,out].
 * In the *_columns forms y (or dy) is part of wider rows: its row r begins at element offset + r * ld. */
#ifndef MR_OPS_LINEAR_H
#define MR_OPS_LINEAR_H

#include "rt/rt.h"

int mr_linear_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *w, const mr_tensor *bias, const mr_tensor *y,
                      int rows, int in, int out);
int mr_linear_forward_columns(mr_runtime *rt, const mr_tensor *x, const mr_tensor *w, const mr_tensor *bias,
                              const mr_tensor *y, int rows, int in, int out, int ld, size_t offset);

/* dx [rows,in] = dy W, or += if accumulate */
int mr_linear_backward_input(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *w, const mr_tensor *dx, int rows,
                             int in, int out, bool accumulate);
int mr_linear_backward_input_columns(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *w, const mr_tensor *dx,
                                     int rows, int in, int out, int ld, size_t offset, bool accumulate);

/* Floats of scratch that a bias's gradient needs; without a bias none is touched. */
size_t mr_linear_scratch(const mr_runtime *rt, int rows, int in, int out);

/* dw [out,in] += dy^T x; dbias [out] (or NULL) += the column sums of dy */
int mr_linear_backward_weight(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dw,
                              const mr_tensor *dbias, const mr_tensor *scratch, int rows, int in, int out);
int mr_linear_backward_weight_columns(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dw,
                                      const mr_tensor *dbias, const mr_tensor *scratch, int rows, int in, int out,
                                      int ld, size_t offset);

/* dbias [out] += the sum of dy [rows,out] over its rows, with mr_linear_scratch floats of scratch. */
int mr_bias_backward(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *dbias, const mr_tensor *scratch, int rows,
                     int out);

#endif
