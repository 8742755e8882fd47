/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of what surrounds the recurrence of RWKV-7: of mr_wkv7_inputs and mr_wkv7_output (ops/wkv7.h). */
#ifndef MR_OPS_WKV7_AROUND_H
#define MR_OPS_WKV7_AROUND_H

#include "ops/wkv7.h"

/* In place: the gradients of change, removal, key and value become those of w, a, k and v. dkappa goes in; dshare is
 * written, dv_first added to (both only where v is mixed with v_first); dk_k and dk_a [H*N] are added to. */
struct mr_wkv7_inputs_gradients {
    const mr_tensor *dchange, *dremoval, *dkey, *dvalue, *dkappa, *dshare, *dv_first, *dk_k, *dk_a;
};
/* Of what x has, the outputs are not looked at: w, a, k and v must be what forward took. */
int mr_wkv7_inputs_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_inputs *x,
                            const struct mr_wkv7_inputs_gradients *g, const mr_tensor *scratch);

struct mr_wkv7_output {
    const mr_tensor *r, *k, *v, *bonus, *g, *x; /* what forward took */
};
/* dy goes in; dr, dk, dv, dg and dx are written (dx may not be dy), dbonus [H*N] is added to. */
struct mr_wkv7_output_gradients {
    const mr_tensor *dy, *dr, *dk, *dv, *dg, *dx, *dbonus;
};
int mr_wkv7_output_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_output *x,
                            const struct mr_wkv7_output_gradients *g, const mr_tensor *scratch);

/* Floats of scratch of both. */
size_t mr_wkv7_around_scratch(const mr_runtime *rt, const struct mr_wkv7 *s);

#endif
