/* SPDX-License-Identifier: GPL-3.0-or-later
 * The linear layers of routed experts: for each assignment i of expert e (ops/mixture_topk.h), o[i] = w_e
 * x[row of i] + b_e. Each expert has its own tensors, w[e] [out,in] and b[e] [out]; experts without rows cost
 * nothing. The routes stay on the device. */
#ifndef MR_OPS_EXPERT_LINEAR_H
#define MR_OPS_EXPERT_LINEAR_H

#include "ops/mixture_topk.h"

struct mr_expert_linear {
    struct mr_topk topk;
    int in, out;
};

/* Floats of scratch of forward and of backward_input. */
size_t mr_expert_linear_forward_scratch(const struct mr_expert_linear *s);
size_t mr_expert_linear_backward_scratch(const struct mr_expert_linear *s);

/* o [R,A,out] (written) from x [R,in] */
int mr_expert_linear_forward(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *x,
                             const mr_tensor *routes, const mr_tensor *const w[], const mr_tensor *const b[],
                             const mr_tensor *o, const mr_tensor *scratch);

/* dx [R,in] (written, or added to) from d_o [R,A,out] */
int mr_expert_linear_backward_input(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *d_o,
                                    const mr_tensor *routes, const mr_tensor *const w[], const mr_tensor *dx,
                                    bool accumulate, const mr_tensor *scratch);

/* dw[e] += , db[e] += */
int mr_expert_linear_backward_weight(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *x,
                                     const mr_tensor *d_o, const mr_tensor *routes, const mr_tensor *const dw[],
                                     const mr_tensor *const db[]);

#endif
