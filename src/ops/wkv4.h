/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-4 (Peng et al. 2023, equations 13 to 17, with the exponents kept apart): per channel
 *     y_t = (sum_{s<t} e^(k_s - (t-1-s) e^decay) v_s + e^(first + k_t) v_t) / (the same sums without v) */
#ifndef MR_OPS_WKV4_H
#define MR_OPS_WKV4_H

#include "ops/slots.h"

struct mr_wkv4 {
    int batch, time, dim; /* B, T, C */
};

/* k, v, y [B,T,C] (y none of the others), decay, first [C]; state [B,3,C] (numerator, denominator, exponent; all 0:
 * the start of a text) is read and advanced. Positions in one call or in several: the same bits. */
int mr_wkv4_forward(mr_runtime *rt, const struct mr_wkv4 *s, const mr_tensor *k, const mr_tensor *v,
                    const mr_tensor *decay, const mr_tensor *first, const mr_tensor *state, const mr_tensor *y);

/* What forward took and gave; state [B,3,C] as it was before. */
struct mr_wkv4_inputs {
    const mr_tensor *k, *v, *decay, *first, *state, *y;
};

/* dy goes in. dk and dv [B,T,C] and dstate [B,2,C], of the start's numerator and denominator, are written; ddecay and
 * dfirst [C] are added to unless NULL. No gradient comes in through the last state. */
struct mr_wkv4_gradients {
    const mr_tensor *dy, *dk, *dv, *ddecay, *dfirst, *dstate;
};

int mr_wkv4_backward(mr_runtime *rt, const struct mr_wkv4 *s, const struct mr_wkv4_inputs *x,
                     const struct mr_wkv4_gradients *g, const mr_tensor *scratch);
/* Floats of scratch. */
size_t mr_wkv4_backward_scratch(const struct mr_wkv4 *s);

/* One token of `rows` texts, the gate included: y = σ(r) wkv. k, v, r, y [R,C] (y none of the others), decay, first
 * [C]; a slot's state is [3,C], as above. */
struct mr_wkv4_step {
    int rows, dim; /* R, C */
    struct mr_slots slots;
    const mr_tensor *k, *v, *r, *decay, *first;
};
int mr_wkv4_step(mr_runtime *rt, const struct mr_wkv4_step *s, const mr_tensor *y);

#endif
