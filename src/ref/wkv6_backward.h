/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv6_backward.h: position by position, with every state kept. */
#ifndef MR_REF_WKV6_BACKWARD_H
#define MR_REF_WKV6_BACKWARD_H

/* w the decay, [B,T,H*N] if it varies, else [H*N]; state [B,H,N,N], [key, value], before the first position. */
struct mr_ref_wkv6 {
    int batch, time, heads, width, varies;
    const double *r, *k, *v, *w, *u, *state;
};

/* dy goes in; dr, dk and dv are written; to dw and du is added; dstate is that of the last state, then of the first. */
struct mr_ref_wkv6_gradients {
    const double *dy;
    double *dr, *dk, *dv, *dw, *du, *dstate;
};

void mr_ref_wkv6_backward(const struct mr_ref_wkv6 *x, const struct mr_ref_wkv6_gradients *g);
/* From the gradient of w = exp(-exp(decay + x)) to that of x, in place, rows of dim; x may be NULL. */
void mr_ref_wkv6_decay_backward(const double *decay, const double *x, double *dw, int rows, int dim);
/* One decay and one bonus per head: ddecay and dfirst [H] are added to. */
void mr_ref_wkv6_heads_backward(const double *decay, const double *first, const double *dw, const double *du,
                                double *ddecay, double *dfirst, int heads, int width);

#endif
