/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv7_step.h, for whole sequences. */
#ifndef MR_REF_WKV7_STEP_H
#define MR_REF_WKV7_STEP_H

struct mr_ref_wkv7_step {
    int batch, time, heads, width;
    double eps;
    const double *r, *k, *v, *w, *a, *g;           /* [B,T,H*N] */
    const double *v_first, *share;                 /* [B,T,H*N]; v_first may be NULL */
    const double *k_k, *k_a, *r_k, *weight, *bias; /* [H*N] */
};

/* y [B,T,H*N]; state [B,H,N,N], [key, value], is read and advanced. */
void mr_ref_wkv7_step(const struct mr_ref_wkv7_step *s, double *state, double *y);

#endif
