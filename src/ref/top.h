/* SPDX-License-Identifier: GPL-3.0-or-later
 * The counterpart of ops/top.h. */
#ifndef MR_REF_TOP_H
#define MR_REF_TOP_H

/* x [rows,n] -> places [rows,k] */
void mr_ref_top(const double *x, int *places, int rows, int n, int k);

#endif
