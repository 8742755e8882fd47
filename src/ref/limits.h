/* SPDX-License-Identifier: GPL-3.0-or-later
 * The counterpart of ops/limits.h, for work-items of vectors of `vec`. */
#ifndef MR_REF_LIMITS_H
#define MR_REF_LIMITS_H

#include <stddef.h>

void mr_ref_limits_fma(double *y, size_t items, int vec, int rounds);
/* All of x: the sum of what the work-items leave. */
double mr_ref_limits_read(const double *x, size_t n);

#endif
