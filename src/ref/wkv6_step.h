/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv6_step.h, for whole sequences. */
#ifndef MR_REF_WKV6_STEP_H
#define MR_REF_WKV6_STEP_H

struct mr_ref_wkv6_step {
    int batch, time, heads, width;
    int decays; /* as enum mr_decays */
    double eps;
    const double *r, *k, *v;     /* [B,T,H*N] */
    const double *gate;          /* [B,T,H*N] or NULL */
    const double *decay, *u;     /* [H] or [H*N] */
    const double *x;             /* [B,T,H*N], where decays are per row */
    const double *weight, *bias; /* [H*N] */
};

/* y [B,T,H*N]; state [B,H,N,N] is read and advanced. */
void mr_ref_wkv6_step(const struct mr_ref_wkv6_step *s, double *state, double *y);

#endif
