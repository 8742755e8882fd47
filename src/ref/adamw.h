/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/adamw.h. */
#ifndef MR_REF_ADAMW_H
#define MR_REF_ADAMW_H

#include <stddef.h>
#include <stdint.h>

void mr_ref_adamw(double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step, double *p,
                  const double *g, double *m, double *v, size_t count, double clip);
double mr_ref_norm(const double *g, size_t count);
double mr_ref_clip_factor(double norm, double max_norm);

#endif
