/* SPDX-License-Identifier: GPL-3.0-or-later
 * Dropout with masks drawn by element: philox(seed; stream MR_STREAM_DROPOUT, step, site, element). */
#ifndef MR_OPS_DROPOUT_H
#define MR_OPS_DROPOUT_H

#include "rt/rt.h"

struct mr_dropout {
    float p; /* the share that is dropped, 0 <= p < 1 */
    uint64_t seed, step;
    uint32_t site; /* which of the model's dropouts, below 2^20 */
};

/* y = x / (1 - p) where the element's draw is at least p, else 0; y may be x. The backward is the same call
 * on the gradient. n elements. */
int mr_dropout_apply(mr_runtime *rt, const struct mr_dropout *d, const mr_tensor *x, const mr_tensor *y, size_t n);

/* The same draws as bits, for masks that are applied inside of other kernels: bit i of word k [words] (MR_I32) is 1
 * where element 32 k + i is kept. */
int mr_dropout_bits(mr_runtime *rt, const struct mr_dropout *d, const mr_tensor *bits, size_t words);

#endif
