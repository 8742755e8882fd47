/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU as ops/gelu.h defines it. */
#ifndef MR_REF_GELU_H
#define MR_REF_GELU_H

#include <stdbool.h>
#include <stddef.h>

void mr_ref_gelu_forward(const double *x, double *y, size_t n, bool tanh_form);
void mr_ref_gelu_backward(const double *x, const double *dy, double *dx, size_t n, bool tanh_form);

#endif
