/* SPDX-License-Identifier: GPL-3.0-or-later
 * How often each word stands in a text. */
#ifndef MR_TEXT_WORD_COUNTS_H
#define MR_TEXT_WORD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct mr_word_count {
    uint64_t hash, count;
    uint32_t at, size; /* in bytes */
};

struct mr_word_counts {
    struct mr_word_count *word; /* in the order of their first appearance */
    size_t count, capacity;
    uint32_t *slot; /* [mask + 1] index + 1 of a word, 0: free */
    size_t mask;
    struct mr_str bytes;
    size_t limit; /* of bytes; 0: the default */
};

/* Counts one more. Beyond the limit the rarest words are forgotten until half of the room is free. */
int mr_word_counts_add(struct mr_word_counts *w, const char *word, size_t size);
void mr_word_counts_free(struct mr_word_counts *w); /* {0} is fine */

#endif
