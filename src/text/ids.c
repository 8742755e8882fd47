/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/ids.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"

int mr_ids_reserve(struct mr_ids *ids, size_t more)
{
    size_t need;
    if (!mr_add(ids->count, more, &need))
        return mr_fail(MR_ENOMEM, "%zu token ids cannot grow by %zu", ids->count, more);
    if (need <= ids->capacity)
        return 0;
    size_t capacity = ids->capacity > SIZE_MAX / 2 ? need : ids->capacity * 2;
    if (capacity < need)
        capacity = need < 256 ? 256 : need;
    uint32_t *grown = mr_realloc(ids->id, capacity, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    ids->id = grown;
    ids->capacity = capacity;
    return 0;
}

void mr_ids_free(struct mr_ids *ids)
{
    free(ids->id);
    *ids = (struct mr_ids){0};
}
