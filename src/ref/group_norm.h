/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/group_norm.h. */
#ifndef MR_REF_GROUP_NORM_H
#define MR_REF_GROUP_NORM_H

void mr_ref_group_norm_forward(const double *x, const double *weight, const double *bias, double *y, double *mean,
                               double *rstd, int rows, int heads, int width, double eps);
/* dx is written, dweight and dbias accumulate. */
void mr_ref_group_norm_backward(const double *x, const double *weight, const double *mean, const double *rstd,
                                const double *dy, double *dx, double *dweight, double *dbias, int rows, int heads,
                                int width);

#endif
