/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/rms_norm.h. */
#ifndef MR_REF_RMS_NORM_H
#define MR_REF_RMS_NORM_H

void mr_ref_rms_norm_forward(const double *x, double *y, double *rstd, int rows, int dim, double eps);
/* dx is written; from the input x, unlike the op. */
void mr_ref_rms_norm_backward(const double *x, const double *dy, double *dx, int rows, int dim, double eps);

#endif
