/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv4.h. */
#ifndef MR_REF_WKV4_H
#define MR_REF_WKV4_H

/* k, v, y [B,T,C]; decay, first [C]; state [B,3,C] is read and advanced. */
void mr_ref_wkv4_forward(const double *k, const double *v, const double *decay, const double *first, double *state,
                         double *y, int batch, int time, int dim);

#endif
