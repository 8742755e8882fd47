/* SPDX-License-Identifier: GPL-3.0-or-later
 * One token of several texts through RWKV-7's time mix, from the linear layers' outputs to what the last one takes, in
 * one launch: mr_wkv7_inputs, mr_wkv7_forward, the group norm and mr_wkv7_output of ops/wkv7.h. */
#ifndef MR_OPS_WKV7_STEP_H
#define MR_OPS_WKV7_STEP_H

#include "ops/slots.h"

enum { MR_WKV7_STEP_WIDTH = 128 };

struct mr_wkv7_step {
    int rows, heads, width;           /* R, H, N; N at most MR_WKV7_STEP_WIDTH */
    struct mr_slots slots;            /* [H,N,N], [key, value] */
    const mr_tensor *r, *k, *v;       /* [R,H*N], what the linear layers give */
    const mr_tensor *w, *a, *g;       /* [R,H*N], what the pairs give: w and a before their sigmoid, g as it is */
    const mr_tensor *v_first, *share; /* [R,H*N], share before its sigmoid; both NULL: v stays */
    const mr_tensor *k_k, *k_a, *r_k; /* [H*N] */
    const mr_tensor *weight, *bias;   /* [H*N], of the group norm */
    float eps;
};

/* y [R,H*N], none of the others */
int mr_wkv7_step(mr_runtime *rt, const struct mr_wkv7_step *s, const mr_tensor *y);

#endif
