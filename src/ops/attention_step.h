/* SPDX-License-Identifier: GPL-3.0-or-later
 * One token of several texts through causal attention over the last W positions (ops/window_attention.h), in one
 * launch: the row's keys and values go into the rings of its slot, then it attends over what they hold; and y times
 * the row's gate columns, where there are any. */
#ifndef MR_OPS_ATTENTION_STEP_H
#define MR_OPS_ATTENTION_STEP_H

#include "ops/slots.h"

enum { MR_ATTENTION_STEP_WIDTH = 192 };

struct mr_attention_step {
    int rows, heads, width, window; /* R, H, D, W; D at most MR_ATTENTION_STEP_WIDTH */
    float scale;
    int stride;                 /* floats in a row of qkv [R,stride] */
    int q, k, v;                /* where a row's H*D columns of each begin */
    int gate;                   /* and those of the gate; below 0: none */
    struct mr_slots keys;       /* [W,H*D], position p at p % W */
    const mr_tensor *values;    /* the same of the values, laid out as the keys */
    const mr_tensor *positions; /* i32 [R]: of each row in its text, from 0 on; the rings hold those before */
};

/* y [R,H*D], not in place */
int mr_attention_step(mr_runtime *rt, const struct mr_attention_step *s, const mr_tensor *qkv, const mr_tensor *y);

#endif
