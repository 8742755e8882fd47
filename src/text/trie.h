/* SPDX-License-Identifier: GPL-3.0-or-later
 * A set of byte strings with numbers, for finding the longest one that a text begins with, and all of them within
 * a text. */
#ifndef MR_TEXT_TRIE_H
#define MR_TEXT_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "text/ids.h"

struct mr_trie_entry {
    const char *bytes;
    size_t size;
    uint32_t id; /* < UINT32_MAX */
};

/* Nodes in an order in which a node's children stand side by side, sorted. Where the way is without a fork for a while,
 * its bytes are the node's label. */
struct mr_trie {
    size_t count;
    uint8_t *byte; /* [count] that leads to the node */
    struct mr_trie_label {
        uint32_t at, size;
    } * label; /* [count] what must follow that byte, in `labels` */
    struct mr_str labels;
    uint32_t *first;    /* [count + 1] the first child; the last child is before the next node's first */
    uint32_t *id;       /* [count] UINT32_MAX: no entry ends here */
    uint32_t root[256]; /* the child of the root, 0: none */
};

/* Sorts the entries. Empty ones, and two with the same bytes, are MR_EFILE. No entries: a trie that finds nothing. */
int mr_trie_build(struct mr_trie *t, struct mr_trie_entry *entries, size_t count);
void mr_trie_free(struct mr_trie *t); /* {0} is fine */

/* The size and number of the longest entry that the bytes begin with; 0: none. *open: the bytes end where a longer
 * one might go on. */
size_t mr_trie_longest(const struct mr_trie *t, const char *bytes, size_t size, uint32_t *id, bool *open);

/* What to do with the bytes between entries: append ids. `more`: the stretch goes on beyond these bytes, and *used
 * (0 before) must be set to what is done with; else all are. Also called for 0 bytes that end a stretch. */
typedef int mr_between(void *context, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used);

/* Finds the entries in the bytes from left to right, at each place the longest; appends their ids and those of what
 * is between them. With `more`, further bytes follow, and *used tells where to begin again; else it is all. */
int mr_trie_cut(const struct mr_trie *t, const char *bytes, size_t size, bool more, mr_between *between, void *context,
                struct mr_ids *ids, size_t *used);

#endif
