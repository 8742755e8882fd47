/* SPDX-License-Identifier: GPL-3.0-or-later
 * The element-wise parts of the channel mix; n is a number of elements. Its token shift and linear maps are
 * ops of their own: out = sigmoid(receptance(xr)) * value(relu(key(xk))^2). */
#ifndef MR_OPS_CHANNEL_MIX_H
#define MR_OPS_CHANNEL_MIX_H

#include "rt/rt.h"

/* y = relu(x)^2; y may be x. */
int mr_squared_relu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n);

/* dx = dy * 2 relu(x); dx may be dy. */
int mr_squared_relu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n);

/* y = sigmoid(r) * v; y may be r or v. */
int mr_sigmoid_gate_forward(mr_runtime *rt, const mr_tensor *r, const mr_tensor *v, const mr_tensor *y, size_t n);

/* dr = dy * v * s * (1 - s) and dv = dy * s with s = sigmoid(r); each may be one of r, v, dy. */
int mr_sigmoid_gate_backward(mr_runtime *rt, const mr_tensor *r, const mr_tensor *v, const mr_tensor *dy,
                             const mr_tensor *dr, const mr_tensor *dv, size_t n);

#endif
