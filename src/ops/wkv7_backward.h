/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrence of RWKV-7 (ops/wkv7.h), chunk by chunk from the states that forward kept. */
#ifndef MR_OPS_WKV7_BACKWARD_H
#define MR_OPS_WKV7_BACKWARD_H

#include "ops/wkv7.h"

/* What forward took, and what it kept. */
struct mr_wkv7_recurrence {
    const mr_tensor *r, *change, *k, *v, *kappa, *removal, *kept;
};

/* dy goes in. dr, dk and dv are added to, dchange, dkappa and dremoval written [B,T,H*N]; dstate [B,H,N,N] is the
 * gradient of the last state, and then that of the first. */
struct mr_wkv7_gradients {
    const mr_tensor *dy, *dr, *dchange, *dk, *dv, *dkappa, *dremoval, *dstate;
};

int mr_wkv7_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_recurrence *x,
                     const struct mr_wkv7_gradients *g, const mr_tensor *scratch);
/* Floats of scratch. */
size_t mr_wkv7_backward_scratch(const mr_runtime *rt, const struct mr_wkv7 *s);

#endif
