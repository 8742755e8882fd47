/* SPDX-License-Identifier: GPL-3.0-or-later
 * A Feistel network over the smallest square of a power of two that holds n, keyed by Philox; what falls outside goes
 * through it again, so that a permutation of the numbers below n is left. */
#include "train/order.h"

#include "base/philox.h"

enum { ROUNDS = 6 };

uint64_t mr_order_at(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t place)
{
    struct mr_philox draws = {.seed = seed, .stream = MR_STREAM_ORDER, .step = epoch};
    int half = 1;
    while (half < 31 && (uint64_t)1 << 2 * half < n)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = place >> half, right = place & mask;
        for (draws.site = 0; draws.site < ROUNDS; draws.site++) {
            uint64_t mixed = left ^ (mr_philox_u32(&draws, right) & mask);
            left = right;
            right = mixed;
        }
        place = left << half | right;
    } while (place >= n);
    return place;
}
