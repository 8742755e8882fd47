/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/rotary.h. */
#ifndef MR_REF_ROTARY_H
#define MR_REF_ROTARY_H

#include <stdint.h>

/* y [R,3,H,D] from x [R,H,3,D], the first `turned` numbers of each head's q and k turned by the row's position. */
void mr_ref_rotary_forward(const double *x, const int32_t *positions, double *y, int rows, int heads, int width,
                           int turned, double base);
/* dx [R,H,3,D] from dy [R,3,H,D] */
void mr_ref_rotary_backward(const double *dy, const int32_t *positions, double *dx, int rows, int heads, int width,
                            int turned, double base);

#endif
