/* SPDX-License-Identifier: GPL-3.0-or-later
 * The time mix's gate: y = x * silu(g), silu(g) = g * sigmoid(g); n is a number of elements. */
#ifndef MR_OPS_SILU_GATE_H
#define MR_OPS_SILU_GATE_H

#include "rt/rt.h"

/* y may be x or g. */
int mr_silu_gate_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *g, const mr_tensor *y, size_t n);

/* dx = dy * silu(g) and dg = dy * x * silu'(g); each may be any of x, g, dy, not each other. */
int mr_silu_gate_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *g, const mr_tensor *dy,
                          const mr_tensor *dx, const mr_tensor *dg, size_t n);

#endif
