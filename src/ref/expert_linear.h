/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/expert_linear.h: choice [R,A] names each assignment's expert; w
 * [E,out,in], b [E,out] hold all experts. */
#ifndef MR_REF_EXPERT_LINEAR_H
#define MR_REF_EXPERT_LINEAR_H

/* o [R,A,out] */
void mr_ref_expert_linear_forward(const double *x, const int *choice, const double *w, const double *b, double *o,
                                  int rows, int active, int in, int out);
/* dx is written. */
void mr_ref_expert_linear_backward_input(const double *d_o, const int *choice, const double *w, double *dx, int rows,
                                         int active, int in, int out);
/* dw and db are added to. */
void mr_ref_expert_linear_backward_weight(const double *x, const double *d_o, const int *choice, double *dw, double *db,
                                          int rows, int active, int in, int out);

#endif
