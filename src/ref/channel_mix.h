/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/channel_mix.h. */
#ifndef MR_REF_CHANNEL_MIX_H
#define MR_REF_CHANNEL_MIX_H

#include <stddef.h>

void mr_ref_squared_relu_forward(const double *x, double *y, size_t n);
void mr_ref_squared_relu_backward(const double *x, const double *dy, double *dx, size_t n);
void mr_ref_sigmoid_gate_forward(const double *r, const double *v, double *y, size_t n);
void mr_ref_sigmoid_gate_backward(const double *r, const double *v, const double *dy, double *dr, double *dv, size_t n);

#endif
