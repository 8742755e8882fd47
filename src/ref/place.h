/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/place.h. */
#ifndef MR_REF_PLACE_H
#define MR_REF_PLACE_H

void mr_ref_place_step(const int *positions, const double *wpe, double *y, int rows, int dim, int places, int first);

#endif
