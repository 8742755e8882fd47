/* SPDX-License-Identifier: GPL-3.0-or-later
 * GroupNorm over the heads of a row: dim = heads * width, statistics per row and head,
 * y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(variance + eps). */
#ifndef MR_OPS_GROUP_NORM_H
#define MR_OPS_GROUP_NORM_H

#include "rt/rt.h"

/* x [rows,heads*width], weight and bias [heads*width], y like x (not x); mean and rstd [rows,heads] are kept
 * for backward. */
int mr_group_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *bias,
                          const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd, int rows, int heads,
                          int width, float eps);

/* dx = (or +=, if accumulate) the gradient of x; dweight +=, dbias +=. */
struct mr_group_norm_gradients {
    const mr_tensor *dy, *dx, *dweight, *dbias;
    bool accumulate;
};

/* scratch holds mr_group_norm_backward_scratch floats. */
int mr_group_norm_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *mean,
                           const mr_tensor *rstd, const struct mr_group_norm_gradients *g, const mr_tensor *scratch,
                           int rows, int heads, int width);
size_t mr_group_norm_backward_scratch(const mr_runtime *rt, int rows, int heads, int width);

#endif
