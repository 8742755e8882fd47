/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/dynamic_shift.h, for one mixture. */
#ifndef MR_REF_DYNAMIC_SHIFT_H
#define MR_REF_DYNAMIC_SHIFT_H

/* x, m and out [B,T,C], maa [C]; previous [B,C] may be NULL. */
void mr_ref_dynamic_shift_forward(const double *x, const double *previous, const double *maa, const double *m,
                                  double *out, int B, int T, int C);

/* For previous = NULL; dm is written, dx and dmaa are added to. */
struct mr_ref_dynamic_shift_gradients {
    const double *dout;
    double *dx, *dmaa, *dm;
};
void mr_ref_dynamic_shift_backward(const double *x, const double *maa, const double *m,
                                   const struct mr_ref_dynamic_shift_gradients *g, int B, int T, int C);

#endif
