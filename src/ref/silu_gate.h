/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/silu_gate.h. */
#ifndef MR_REF_SILU_GATE_H
#define MR_REF_SILU_GATE_H

#include <stddef.h>

void mr_ref_silu_gate_forward(const double *x, const double *g, double *y, size_t n);
void mr_ref_silu_gate_backward(const double *x, const double *g, const double *dy, double *dx, double *dg, size_t n);

#endif
