/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv7_backward.h: position by position, with every state kept. */
#ifndef MR_REF_WKV7_BACKWARD_H
#define MR_REF_WKV7_BACKWARD_H

/* w the decay, removal = kappa times its rate [B,T,H*N]; state [B,H,N,N], [key, value], before the first position. */
struct mr_ref_wkv7 {
    int batch, time, heads, width;
    const double *r, *w, *k, *v, *kappa, *removal, *state;
};

/* dy goes in; dr, dw, dk, dv, dkappa and dremoval are written; dstate is that of the last state, then of the first. */
struct mr_ref_wkv7_gradients {
    const double *dy;
    double *dr, *dw, *dk, *dv, *dkappa, *dremoval, *dstate;
};

void mr_ref_wkv7_backward(const struct mr_ref_wkv7 *x, const struct mr_ref_wkv7_gradients *g);

#endif
