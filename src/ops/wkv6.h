/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-5 and RWKV-6. Per head, the state S is N x N, indexed [key, value], and the decay w goes along
 * its keys:
 *     y_t = r_t (S + (u k_t)' v_t),   S <- diag(w_t) S + k_t' v_t
 * The decay is given as change = w - 1, so that what is close to 1 keeps its digits. */
#ifndef MR_OPS_WKV6_H
#define MR_OPS_WKV6_H

#include "rt/rt.h"

struct mr_wkv6 {
    int batch, time, heads, width; /* B, T, H, N; N at most MR_WKV6_WIDTH */
    bool varies;                   /* change differs from position to position */
};

enum { MR_WKV6_WIDTH = 128, MR_WKV6_CHUNK = 16 };

/* Checks the shape; *n is the number of elements of all positions. */
int mr_wkv6_need(const char *op, const struct mr_wkv6 *s, size_t *n);
/* The same for the decay of all positions, or of one where it does not vary, and that decay and x are given as needed.
 */
int mr_wkv6_need_decay(const char *op, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x, size_t *n);
/* The range with the -D of the shape's variant, which is written to `defines`. */
struct mr_range mr_wkv6_variant(struct mr_range range, const struct mr_wkv6 *s, char defines[16]);

/* r, k, v, y [B,T,H*N] (y none of the others); change [B,T,H*N] if it varies, else [H*N]; u [H*N]; state [B,H,N,N] is
 * read and advanced. Positions in one call or in several: the same bits. kept (NULL: none) gets mr_wkv6_kept floats for
 * backward: the state before every MR_WKV6_CHUNK positions. */
int mr_wkv6_forward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *r, const mr_tensor *k, const mr_tensor *v,
                    const mr_tensor *change, const mr_tensor *u, const mr_tensor *state, const mr_tensor *y,
                    const mr_tensor *kept);
size_t mr_wkv6_kept(const struct mr_wkv6 *s);

/* change = exp(-exp(decay + x)) - 1: decay [H*N]; x and change [B,T,H*N], which may be one tensor; where change does
 * not vary, x is NULL and change [H*N]. */
int mr_wkv6_change(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x,
                   const mr_tensor *change);

/* RWKV-5.1's one number per head: change = exp(-exp(decay)) - 1 and u = exp(first), [H] to [H*N]. */
int mr_wkv6_heads(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *first,
                  const mr_tensor *change, const mr_tensor *u);

#endif
