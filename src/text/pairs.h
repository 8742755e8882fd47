/* SPDX-License-Identifier: GPL-3.0-or-later
 * A table from pairs of token ids to numbers. */
#ifndef MR_TEXT_PAIRS_H
#define MR_TEXT_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#define MR_NO_PAIR UINT32_MAX

struct mr_pairs {
    struct {
        uint64_t pair; /* left << 32 | right */
        uint32_t value;
    } * slot; /* [mask + 1]; value MR_NO_PAIR: free */
    size_t mask, count;
};

static inline uint64_t mr_pair(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

static inline size_t mr_pairs_slot(const struct mr_pairs *p, uint64_t pair)
{
    size_t i = (size_t)((pair * 0x9E3779B97F4A7C15u) >> 20) & p->mask;
    while (p->slot[i].value != MR_NO_PAIR && p->slot[i].pair != pair)
        i = (i + 1) & p->mask;
    return i;
}

/* The pair's number, or MR_NO_PAIR. */
static inline uint32_t mr_pairs_get(const struct mr_pairs *p, uint64_t pair)
{
    return p->slot ? p->slot[mr_pairs_slot(p, pair)].value : MR_NO_PAIR;
}

/* Sets it; value < MR_NO_PAIR. */
int mr_pairs_set(struct mr_pairs *p, uint64_t pair, uint32_t value);
void mr_pairs_free(struct mr_pairs *p); /* {0} is fine */

#endif
