/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv6.h. */
#ifndef MR_REF_WKV6_H
#define MR_REF_WKV6_H

/* r, k, v, y [B,T,H*N]; w, the decay itself, [B,T,H*N] if it varies, else [H*N]; u [H*N]; state [B,H,N,N] is read and
 * advanced. */
void mr_ref_wkv6_forward(const double *r, const double *k, const double *v, const double *w, const double *u,
                         double *state, double *y, int batch, int time, int heads, int width, int varies);
/* w = exp(-exp(decay + x)), rows of dim; x may be NULL. */
void mr_ref_wkv6_decay(const double *decay, const double *x, double *w, int rows, int dim);
/* w = exp(-exp(decay)), u = exp(first), for all channels of each head. */
void mr_ref_wkv6_heads(const double *decay, const double *first, double *w, double *u, int heads, int width);

#endif
