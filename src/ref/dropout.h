/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/dropout.h. */
#ifndef MR_REF_DROPOUT_H
#define MR_REF_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

void mr_ref_dropout(float p, uint64_t seed, uint64_t step, uint32_t site, const double *x, double *y, size_t n);

#endif
