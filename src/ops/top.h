/* SPDX-License-Identifier: GPL-3.0-or-later
 * The k largest numbers of each row with their places: what a sampler needs of a row of logits. */
#ifndef MR_OPS_TOP_H
#define MR_OPS_TOP_H

#include "rt/rt.h"

enum { MR_TOP = 1024 }; /* k at most */

/* logits [rows,n] -> values [rows,k], ids i32 [rows,k], by falling value, equal ones by id; k <= n. A NaN comes before
 * all numbers. */
int mr_top(mr_runtime *rt, const mr_tensor *logits, int rows, int n, int k, const mr_tensor *values,
           const mr_tensor *ids);

#endif
