/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/window_attention.h, one call for the whole sequence. */
#ifndef MR_REF_WINDOW_ATTENTION_H
#define MR_REF_WINDOW_ATTENTION_H

/* q, k, v, y [B,T,H*D]; lse [B,H,T] or NULL; factor [B,H,T,T] multiplies the weights (dropout), or NULL. */
void mr_ref_window_attention_forward(const double *q, const double *k, const double *v, double *y, double *lse,
                                     int batch, int time, int heads, int width, int window, double scale,
                                     const double *factor);
/* d: dq, dk, dv, which are written. */
void mr_ref_window_attention_backward(const double *q, const double *k, const double *v, const double *dy,
                                      double *const d[3], int batch, int time, int heads, int width, int window,
                                      double scale, const double *factor);

#endif
