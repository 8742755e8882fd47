/* SPDX-License-Identifier: GPL-3.0-or-later
 * Philox 4x32-10: a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC11). Every random number of the project is philox(seed; stream, micro-step, site, element), so that a
 * resumed run draws the same ones. cl/dropout.cl computes the same numbers on the device. */
#ifndef MR_BASE_PHILOX_H
#define MR_BASE_PHILOX_H

#include <stdint.h>

enum mr_stream {
    MR_STREAM_INIT,
    MR_STREAM_TRAIN,
    MR_STREAM_EVAL_TRAIN,
    MR_STREAM_EVAL_VAL,
    MR_STREAM_DROPOUT,
    MR_STREAM_SAMPLING,
    MR_STREAM_STORIES,
    MR_STREAM_ORDER,
};

/* The key of a family of draws. The counter's four words are: element / 4 (low 32 bits), element / 4 (high
 * 32 bits) ^ site << 8 ^ stream << 28, micro-step (low), micro-step (high); the key words are the seed's. */
struct mr_philox {
    uint64_t seed;
    uint32_t stream; /* enum mr_stream */
    uint32_t site;   /* which of the places that draw from this stream; below 2^20 */
    uint64_t step;   /* micro-step, or whatever counts in this stream */
};

/* The four 32-bit words of block `element / 4`. */
void mr_philox_block(const struct mr_philox *p, uint64_t block, uint32_t out[4]);

/* Word of one element: block element / 4, word element % 4. */
uint32_t mr_philox_u32(const struct mr_philox *p, uint64_t element);

/* Uniform in [0, 1) with 24 bits, as the kernels compute it: (word >> 8) * 2^-24. */
float mr_philox_uniform(const struct mr_philox *p, uint64_t element);

/* Standard normal (Box-Muller in double on two words of block `element`). */
double mr_philox_normal(const struct mr_philox *p, uint64_t element);

/* Uniform in [0, n), without bias worth naming (64-bit multiply-shift); n >= 1. */
uint64_t mr_philox_below(const struct mr_philox *p, uint64_t element, uint64_t n);

#endif
