/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/layer_norm.h. */
#ifndef MR_REF_LAYER_NORM_H
#define MR_REF_LAYER_NORM_H

void mr_ref_layer_norm_forward(const double *x, const double *weight, const double *bias, double *y, double *mean,
                               double *rstd, int rows, int dim, double eps);
/* dx is written, dweight and dbias (or NULL) accumulate. */
void mr_ref_layer_norm_backward(const double *x, const double *weight, const double *mean, const double *rstd,
                                const double *dy, double *dx, double *dweight, double *dbias, int rows, int dim);

#endif
