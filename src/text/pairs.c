/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/pairs.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"

enum { FIRST_SLOTS = 1024 };

static int grow(struct mr_pairs *p)
{
    size_t slots = p->slot ? (p->mask + 1) * 2 : FIRST_SLOTS;
    struct mr_pairs wider = {.mask = slots - 1, .count = p->count};
    wider.slot = mr_alloc(slots, sizeof *wider.slot);
    if (!wider.slot)
        return MR_ENOMEM;
    for (size_t i = 0; i < slots; i++)
        wider.slot[i].value = MR_NO_PAIR;
    for (size_t i = 0; p->slot && i <= p->mask; i++)
        if (p->slot[i].value != MR_NO_PAIR)
            wider.slot[mr_pairs_slot(&wider, p->slot[i].pair)] = p->slot[i];
    free(p->slot);
    *p = wider;
    return 0;
}

int mr_pairs_set(struct mr_pairs *p, uint64_t pair, uint32_t value)
{
    if (!p->slot || p->count > p->mask / 2)
        MR_TRY(grow(p));
    size_t i = mr_pairs_slot(p, pair);
    p->count += p->slot[i].value == MR_NO_PAIR;
    p->slot[i].pair = pair;
    p->slot[i].value = value;
    return 0;
}

void mr_pairs_free(struct mr_pairs *p)
{
    free(p->slot);
    *p = (struct mr_pairs){0};
}
