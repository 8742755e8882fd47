/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of time mix x051a. Per head, with w = exp(-exp(decay)) and u = faaaa (raw parameters, [H] each):
 *     y_t = sum_{s<t} w^(t-1-s) (r_t.k_s) v_s + u (r_t.k_t) v_t
 *     S_t = w S_{t-1} + k_t' v_t  (N x N, [key, value]),  y_t = r_t (S_{t-1} + u k_t' v_t)
 * r, k, v, y and their gradients are [B,T,H*N], none of them in place. Computed in chunks of positions; any split of
 * a sequence into calls gives the same numbers up to rounding. */
#ifndef MR_OPS_TIME_MIX_H
#define MR_OPS_TIME_MIX_H

#include "rt/rt.h"

struct mr_time_mix {
    int batch, time, heads, width; /* B, T, H, N; N at most MR_TIME_MIX_WIDTH */
};

enum { MR_TIME_MIX_WIDTH = 320 };

/* Floats (rt may be NULL: a CPU) that forward leaves for backward: the state before each chunk; 0 where there is one
 * chunk only (`kept` may be NULL then). */
size_t mr_time_mix_kept(const mr_runtime *rt, const struct mr_time_mix *s);
/* Floats of scratch: for forward, and if `training` for backward too. */
size_t mr_time_mix_scratch(const mr_runtime *rt, const struct mr_time_mix *s, bool training);

/* state [B,H,N,N] is read and advanced; NULL: zero before, and not wanted. kept is written if it is given and large
 * enough, else the scratch is used (which may be missing where kept is enough). */
int mr_time_mix_forward(mr_runtime *rt, const struct mr_time_mix *s, const mr_tensor *r, const mr_tensor *k,
                        const mr_tensor *v, const mr_tensor *decay, const mr_tensor *faaaa, const mr_tensor *state,
                        const mr_tensor *y, const mr_tensor *kept, const mr_tensor *scratch);

/* dy goes in; dr, dk, dv are written (not in place of r, k, v, dy), ddecay and dfaaaa [H] accumulate. */
struct mr_time_mix_gradients {
    const mr_tensor *dy, *dr, *dk, *dv, *ddecay, *dfaaaa;
};

/* The backward of a forward without state. */
int mr_time_mix_backward(mr_runtime *rt, const struct mr_time_mix *s, const mr_tensor *r, const mr_tensor *k,
                         const mr_tensor *v, const mr_tensor *decay, const mr_tensor *faaaa, const mr_tensor *kept,
                         const struct mr_time_mix_gradients *g, const mr_tensor *scratch);

#endif
