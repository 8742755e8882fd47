/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU and ReLU as ops/gelu.h defines them: act is an enum mr_activation. */
#ifndef MR_REF_GELU_H
#define MR_REF_GELU_H

#include <stddef.h>

void mr_ref_gelu_forward(const double *x, double *y, size_t n, int act);
void mr_ref_gelu_backward(const double *x, const double *dy, double *dx, size_t n, int act);

#endif
