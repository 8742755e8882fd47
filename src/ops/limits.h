/* SPDX-License-Identifier: GPL-3.0-or-later
 * Work that runs into a device's limits: multiply-adds alone, and reading memory alone. */
#ifndef MR_OPS_LIMITS_H
#define MR_OPS_LIMITS_H

#include "rt/rt.h"

/* Work-items that fill the device: the numbers that either kernel leaves. */
size_t mr_limits_items(const mr_runtime *rt);

/* y [items] = what `rounds` rounds of multiply-adds leave; each round is mr_limits_flops of a work-item. */
int mr_limits_fma(mr_runtime *rt, const mr_tensor *y, int rounds);
double mr_limits_flops(const mr_runtime *rt);

/* y [items]: the sums of parts of x [n], which is a multiple of 16. */
int mr_limits_read(mr_runtime *rt, const mr_tensor *x, size_t n, const mr_tensor *y);

#endif
