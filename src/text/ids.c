/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/ids.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"

enum { FEWEST = 256 };

int mr_ids_reserve(struct mr_ids *ids, size_t more)
{
    size_t need;
    if (!mr_add(ids->count, more, &need))
        return mr_fail(MR_ENOMEM, "%zu token ids cannot grow by %zu", ids->count, more);
    if (need <= ids->capacity)
        return 0;
    return mr_grow(&ids->id, &ids->capacity, need < FEWEST ? FEWEST : need, sizeof *ids->id);
}

void mr_ids_free(struct mr_ids *ids)
{
    free(ids->id);
    *ids = (struct mr_ids){0};
}
