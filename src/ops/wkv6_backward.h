/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrence of RWKV-5 and 6 (ops/wkv6.h) from the states that forward kept. */
#ifndef MR_OPS_WKV6_BACKWARD_H
#define MR_OPS_WKV6_BACKWARD_H

#include "ops/wkv6.h"

/* What forward took, and what it kept. */
struct mr_wkv6_recurrence {
    const mr_tensor *r, *k, *v, *change, *u, *kept;
};

/* dy goes in. dr, dk and dv [B,T,H*N] are written; dchange is written where the decay varies, else added to; du is
 * added to (NULL: not wanted); dstate [B,H,N,N] is the gradient of the last state, and then that of the first. */
struct mr_wkv6_gradients {
    const mr_tensor *dy, *dr, *dk, *dv, *dchange, *du, *dstate;
};

/* ends is scratch like what forward keeps, scratch that of mr_wkv6_backward_scratch floats. */
int mr_wkv6_backward(mr_runtime *rt, const struct mr_wkv6 *s, const struct mr_wkv6_recurrence *x,
                     const struct mr_wkv6_gradients *g, const mr_tensor *ends, const mr_tensor *scratch);
size_t mr_wkv6_backward_scratch(const struct mr_wkv6 *s);

/* In place, from the gradient of change = exp(-exp(decay + x)) - 1 to that of x; sizes as in mr_wkv6_change. Where x
 * is NULL it is that of decay. */
int mr_wkv6_change_backward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x,
                            const mr_tensor *dchange);

/* RWKV-5.1's one number per head: from dchange and du [H*N] to ddecay and dfirst [H], which are added to. */
struct mr_wkv6_heads_gradients {
    const mr_tensor *dchange, *du, *ddecay, *dfirst;
};
int mr_wkv6_heads_backward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *first,
                           const struct mr_wkv6_heads_gradients *g);

#endif
