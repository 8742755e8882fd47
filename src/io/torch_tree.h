/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a torch pickle holds, taken apart: tensors by name, and all else as JSON. */
#ifndef MR_IO_TORCH_TREE_H
#define MR_IO_TORCH_TREE_H

#include "base/json.h"
#include "io/pickle.h"

enum { MR_TORCH_BROADCAST = 1 << 24 }; /* elements that a view may have beyond those that are stored */

struct mr_torch_view {
    char *name;
    const struct mr_pickled_tensor *tensor;
    int depth;     /* 1: directly in the outermost dictionary */
    int64_t entry; /* of the archive, or the number of the storage; the reader's own */
};

struct mr_torch_tree {
    struct mr_pickle pickle;
    struct mr_torch_view *views;
    size_t count, capacity;
    int64_t *first_of_entry; /* per entry, -1; the reader's own */
};

/* Takes a pickle apart; the bytes must live as long as the tree. */
int mr_torch_tree_read(struct mr_torch_tree *tree, const uint8_t *bytes, size_t size, const char *path,
                       json_t *metadata);
/* Room for the first tensors of so many entries. */
int mr_torch_tree_entries(struct mr_torch_tree *tree, size_t entries);
void mr_torch_tree_free(struct mr_torch_tree *tree); /* {0} is fine */

/* A value without tensors as JSON: for pickles of plain data. NULL with the error set on failure. */
json_t *mr_pickled_json(const struct mr_pickle *pickle, const struct mr_pickled *value, const char *what);

#endif
