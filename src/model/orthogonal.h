/* SPDX-License-Identifier: GPL-3.0-or-later
 * Random orthogonal matrices, as initial values. */
#ifndef MR_MODEL_ORTHOGONAL_H
#define MR_MODEL_ORTHOGONAL_H

#include <stddef.h>

#include "base/philox.h"

/* out [rows,cols]: the rows, or the columns where they are fewer, stand at right angles and have the length `gain`; no
 * direction is preferred. */
int mr_orthogonal(const struct mr_philox *draws, size_t rows, size_t cols, double gain, float *out);

#endif
