/* SPDX-License-Identifier: GPL-3.0-or-later
 * Top-k routing: each of `rows` tokens goes to the `active` experts of its largest softmax scores, ties to
 * the lower index; their scores, scaled to sum 1, are the weights. Assignment row * active + slot is one
 * expert's share of one token; slots by falling score. Nothing comes back to the host and nothing waits.
 *
 * The whole layer, forward:                            and backward:
 *     s = mr_softmax_forward(gate(x))                  mr_softmax_backward(s, ds)
 *     mr_topk_route(s) -> routes, weights              mr_topk_scores_backward(dweights) -> ds
 *     o [R,A,D] = mr_expert_linear_forward(x)          mr_expert_linear_backward_...(d_o) -> dx, dw, db
 *     h [R,D] = mr_mixture_forward(weights, o)         mr_mixture_backward(dh) -> dweights, d_o
 * the mixture with experts = active = A. */
#ifndef MR_OPS_MIXTURE_TOPK_H
#define MR_OPS_MIXTURE_TOPK_H

#include "rt/rt.h"

enum { MR_TOPK_EXPERTS = 64 }; /* at most */

struct mr_topk {
    int rows, experts, active; /* 1 <= active <= experts <= 64 */
};

/* Elements of the routes (integers; kept for backward), and of the scratch floats of mr_topk_route. */
size_t mr_topk_routes(const struct mr_topk *s);
size_t mr_topk_scratch(const struct mr_topk *s);

/* scores [R,E] -> routes, weights [R,A]. loss [1] (NULL: no term) += balance * E * sum over e of f_e P_e,
 * with f_e the expert's share of the assignments and P_e its mean score. */
int mr_topk_route(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *scores, const mr_tensor *routes,
                  const mr_tensor *weights, const mr_tensor *loss, float balance, const mr_tensor *scratch);

/* dscores [R,E] (written) from dweights [R,A], through the scaling to sum 1, and of the balance term (0:
 * none), through P_e only. */
int mr_topk_scores_backward(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *scores, const mr_tensor *routes,
                            const mr_tensor *weights, const mr_tensor *dweights, float balance,
                            const mr_tensor *dscores);

/* Reads back how many assignments each expert got, load [E]. Waits: for tests and reports. */
int mr_topk_load(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *routes, int *load);

#endif
