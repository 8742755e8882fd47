/* SPDX-License-Identifier: GPL-3.0-or-later
 * What an MLP computes of its inner numbers: GELU exact (erf), in the tanh or the quick form, or ReLU: act is one of
 * MR_ACT_GELU_ERF, MR_ACT_GELU_TANH, MR_ACT_GELU_QUICK, MR_ACT_RELU. */
#ifndef MR_OPS_GELU_H
#define MR_OPS_GELU_H

#include "rt/products.h"

/* y = act(x), n floats; y may be x. */
int mr_gelu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n, enum mr_activation act);

/* dx = dy * act'(x); dx may be dy or x. */
int mr_gelu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n,
                     enum mr_activation act);

#endif
