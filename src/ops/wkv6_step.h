/* SPDX-License-Identifier: GPL-3.0-or-later
 * One token of several texts through the recurrence of time mix x051a, RWKV-5 or 6, the group norm and the gate, in one
 * launch. Per head, S the N x N state, [key, value], that the text's slot keeps:
 *     y = r (S + (u k)' v),  S <- diag(w) S + k' v,  out = (GroupNorm(y) weight + bias) silu(gate)
 * with w = exp(-exp(decay)). It agrees with ops/time_mix.h and ops/wkv6.h, group_norm.h and silu_gate.h. */
#ifndef MR_OPS_WKV6_STEP_H
#define MR_OPS_WKV6_STEP_H

#include "ops/slots.h"

enum { MR_WKV6_STEP_WIDTH = 320 };

enum mr_decays {
    MR_DECAY_HEAD,       /* decay and u [H]: x051a */
    MR_DECAY_HEAD_FIRST, /* the same, u being the exponential of what is given: RWKV-5.1 */
    MR_DECAY_CHANNEL,    /* decay and u [H*N]: RWKV-5.2 */
    MR_DECAY_ROW,        /* u [H*N], and x [R,H*N] is added to decay [H*N]: RWKV-6 */
};

struct mr_wkv6_step {
    int rows, heads, width; /* R, H, N; N at most MR_WKV6_STEP_WIDTH */
    enum mr_decays decays;
    struct mr_slots slots;      /* [H,N,N] */
    const mr_tensor *r, *k, *v; /* [R,H*N] */
    const mr_tensor *gate;      /* [R,H*N], before silu; NULL: no gate */
    const mr_tensor *decay, *u;
    const mr_tensor *x;             /* NULL: nothing is added to decay */
    const mr_tensor *weight, *bias; /* [H*N], of the group norm */
    float eps;
};

/* y [R,H*N], none of the others */
int mr_wkv6_step(mr_runtime *rt, const struct mr_wkv6_step *s, const mr_tensor *y);

#endif
