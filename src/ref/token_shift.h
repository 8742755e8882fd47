/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/token_shift.h, for one mixture. */
#ifndef MR_REF_TOKEN_SHIFT_H
#define MR_REF_TOKEN_SHIFT_H

/* previous [B,C] may be NULL. */
void mr_ref_token_shift_forward(const double *x, const double *previous, const double *maa, double *out, int B, int T,
                                int C);
/* For previous = NULL; dx and dmaa accumulate. */
void mr_ref_token_shift_backward(const double *x, const double *maa, const double *dout, double *dx, double *dmaa,
                                 int B, int T, int C);

#endif
