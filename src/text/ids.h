/* SPDX-License-Identifier: GPL-3.0-or-later
 * A growing array of token ids. Start with {0}; end with mr_ids_free. */
#ifndef MR_TEXT_IDS_H
#define MR_TEXT_IDS_H

#include <stddef.h>
#include <stdint.h>

struct mr_ids {
    uint32_t *id;
    size_t count, capacity;
};

/* Makes room for `more` ids beyond count. */
int mr_ids_reserve(struct mr_ids *ids, size_t more);
void mr_ids_free(struct mr_ids *ids);

static inline int mr_ids_append(struct mr_ids *ids, uint32_t id)
{
    if (ids->count == ids->capacity) {
        int err = mr_ids_reserve(ids, 1);
        if (err < 0)
            return err;
    }
    ids->id[ids->count++] = id;
    return 0;
}

#endif
