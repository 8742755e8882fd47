/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/dropout.h"

#include "base/philox.h"

void mr_ref_dropout(float p, uint64_t seed, uint64_t step, uint32_t site, const double *x, double *y, size_t n)
{
    struct mr_philox draws = {.seed = seed, .stream = MR_STREAM_DROPOUT, .site = site, .step = step};
    for (size_t i = 0; i < n; i++)
        y[i] = mr_philox_uniform(&draws, i) >= p ? x[i] / (1 - (double)p) : 0;
}
