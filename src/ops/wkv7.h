/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-7, a generalised delta rule, and what surrounds it. Per head, with w the decay, κ of length 1
 * and S an N x N state indexed [key, value] here (the transpose of how it is usually written):
 *     S <- diag(w_t) S - (κ_t a_t)' (κ_t S) + k_t' v_t,   y_t = r_t S
 * The decay comes as `change` = w - 1, so that what is close to 1 keeps its digits. Rows are [B,T,H*N]. */
#ifndef MR_OPS_WKV7_H
#define MR_OPS_WKV7_H

#include "rt/rt.h"

struct mr_wkv7 {
    int batch, time, heads, width; /* B, T, H, N; N at most MR_WKV7_WIDTH */
};

enum { MR_WKV7_WIDTH = 128 };

/* From the linear layers' outputs to what the recurrence takes, all [B,T,H*N]:
 *     kappa = (k k_k) normalised to length 1 per head;  rate = σ(a)
 *     change = exp(-e^-½ σ(w)) - 1;  removal = kappa rate;  key = k (1 + (rate - 1) k_a);
 *     value = v + (v_first - v) σ(share)
 * v_first and share may be NULL: value is not touched, and v stands for it. k_k, k_a [H*N]. */
struct mr_wkv7_inputs {
    const mr_tensor *w, *a, *k, *v, *v_first, *share, *k_k, *k_a;
    const mr_tensor *change, *removal, *key, *value, *kappa; /* written; the first four may be w, a, k and v */
};
int mr_wkv7_inputs(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_inputs *x);

/* r, change, k, v, kappa, removal (= κ a), y [B,T,H*N] (y none of the others); state [B,H,N,N] is read and advanced.
 * kept, mr_wkv7_kept floats or NULL, gets what a backward needs. Positions in one call or in several: the same bits. */
int mr_wkv7_forward(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *change,
                    const mr_tensor *k, const mr_tensor *v, const mr_tensor *kappa, const mr_tensor *removal,
                    const mr_tensor *state, const mr_tensor *y, const mr_tensor *kept);
/* The states before every so many positions, a chunk of mr_wkv7_backward. */
size_t mr_wkv7_kept(const mr_runtime *rt, const struct mr_wkv7 *s);
int mr_wkv7_chunk(const mr_runtime *rt, int width);

/* y = (x + (Σ r k bonus) v) g per head: x (normalised), r, k, v, g [B,T,H*N], bonus [H*N]; y may be x. */
int mr_wkv7_output(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *k, const mr_tensor *v,
                   const mr_tensor *bonus, const mr_tensor *g, const mr_tensor *x, const mr_tensor *y);

/* MR_EINVAL, naming `op`, unless the sizes are possible; *n is B*T*H*N, *pairs B*H. */
int mr_wkv7_need(const char *op, const struct mr_wkv7 *s, size_t *n, size_t *pairs);

#endif
