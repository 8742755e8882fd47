/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/linear.h; row r of y and dy begins at r * ld. */
#ifndef MR_REF_LINEAR_H
#define MR_REF_LINEAR_H

/* bias may be NULL */
void mr_ref_linear_forward(const double *x, const double *w, const double *bias, double *y, int rows, int in, int out,
                           int ld);
/* dx is written. */
void mr_ref_linear_backward_input(const double *dy, const double *w, double *dx, int rows, int in, int out, int ld);
/* dw and dbias (or NULL) are added to. */
void mr_ref_linear_backward_weight(const double *x, const double *dy, double *dw, double *dbias, int rows, int in,
                                   int out, int ld);

#endif
