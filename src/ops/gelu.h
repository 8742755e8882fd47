/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU: y = x Φ(x), exact (erf) or in the tanh form (arXiv:1606.08415). */
#ifndef MR_OPS_GELU_H
#define MR_OPS_GELU_H

#include "rt/rt.h"

/* y = gelu(x), n floats; y may be x. */
int mr_gelu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n, bool tanh_form);

/* dx = dy * gelu'(x); dx may be dy or x. */
int mr_gelu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n,
                     bool tanh_form);

#endif
