/* SPDX-License-Identifier: GPL-3.0-or-later
 * Learned positions of the rows of a decoding step, each row at its own position in its text. */
#ifndef MR_OPS_PLACE_H
#define MR_OPS_PLACE_H

#include "rt/rt.h"

/* y [rows,dim] += wpe [places,dim], the row that first + positions, i32 [rows], says; outside 0..places-1 nothing is
 * added. */
int mr_place_step(mr_runtime *rt, const mr_tensor *positions, const mr_tensor *wpe, const mr_tensor *y, int rows,
                  int dim, int places, int first);

#endif
