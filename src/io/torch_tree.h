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
    int64_t entry; /* of the archive; the reader's own */
};

struct mr_torch_tree {
    uint8_t *bytes; /* the pickle */
    struct mr_pickle pickle;
    struct mr_torch_view *views;
    size_t count, capacity;
    int64_t *first_of_entry; /* per file of the archive, -1; the reader's own */
};

/* Room for a pickle of `size` bytes, in an archive of `entries` files. */
int mr_torch_tree_allocate(struct mr_torch_tree *tree, size_t size, size_t entries);
/* Takes tree->bytes apart. */
int mr_torch_tree_read(struct mr_torch_tree *tree, size_t size, const char *path, json_t *metadata);
void mr_torch_tree_free(struct mr_torch_tree *tree); /* {0} is fine */

/* A value without tensors as JSON: for pickles of plain data. NULL with the error set on failure. */
json_t *mr_pickled_json(const struct mr_pickle *pickle, const struct mr_pickled *value, const char *what);

#endif
