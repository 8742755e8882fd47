/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/cross_entropy.h. */
#ifndef MR_REF_CROSS_ENTROPY_H
#define MR_REF_CROSS_ENTROPY_H

#include <stdint.h>

/* dlogits may be NULL; the logits stay. */
void mr_ref_cross_entropy(const double *logits, const int32_t *targets, double *row_loss, double *dlogits, int rows,
                          int V, double inv_count, double l2wrap);
double mr_ref_mean_loss(const double *row_loss, int rows, double inv_count);

#endif
