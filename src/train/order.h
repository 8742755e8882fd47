/* SPDX-License-Identifier: GPL-3.0-or-later
 * An order of n things for each epoch, without a list of them. */
#ifndef MR_TRAIN_ORDER_H
#define MR_TRAIN_ORDER_H

#include <stdint.h>

/* What stands at `place` < n of the epoch's order: over all places each number below n once. n below 2^62. */
uint64_t mr_order_at(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t place);

#endif
