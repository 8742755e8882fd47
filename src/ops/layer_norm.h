/* SPDX-License-Identifier: GPL-3.0-or-later
 * LayerNorm: y = (x - mean) * rstd * weight + bias per row, rstd = 1 / sqrt(variance + eps). */
#ifndef MR_OPS_LAYER_NORM_H
#define MR_OPS_LAYER_NORM_H

#include "rt/rt.h"

/* x [rows,dim], weight [dim], bias [dim] or NULL, y [rows,dim] (not x); mean [rows] and rstd [rows] are kept
 * for backward. */
int mr_layer_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *bias,
                          const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd, int rows, int dim,
                          float eps);

/* dx = (or +=, if accumulate) the gradient of x; dweight [dim] +=, dbias [dim] += unless NULL. */
struct mr_layer_norm_gradients {
    const mr_tensor *dy, *dx, *dweight, *dbias;
    bool accumulate;
};

/* scratch holds mr_layer_norm_backward_scratch floats. */
int mr_layer_norm_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *mean,
                           const mr_tensor *rstd, const struct mr_layer_norm_gradients *g, const mr_tensor *scratch,
                           int rows, int dim);
size_t mr_layer_norm_backward_scratch(const mr_runtime *rt, int rows, int dim);

#endif
