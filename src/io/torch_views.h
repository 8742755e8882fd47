/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tensors as torch sees them: strides over storages, wherever those lie in the file. */
#ifndef MR_IO_TORCH_VIEWS_H
#define MR_IO_TORCH_VIEWS_H

#include "io/tensor_file.h"
#include "io/torch_tree.h"

/* What a reader of torch's files begins with. */
struct mr_torch_views {
    mr_tensor_file base; /* tensor i is tree.views[i] */
    struct mr_torch_tree tree;
    /* Bytes of a storage, by the entry that the reader gave to its views. */
    int (*read)(struct mr_torch_views *views, int64_t entry, uint64_t offset, size_t size, void *to);

    /* The part of its storage that the tensor of this index sees, where it does not lie there as it is. */
    uint8_t *extent;
    size_t extent_of;
};

/* For struct mr_tensor_file_format. */
int mr_torch_views_read(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to);
/* Enters a tensor of the tree, whose storage was found whole; called for each in order. */
int mr_torch_views_add(struct mr_torch_views *views, size_t index);
/* After the last: finds those that share, and enters numbers without dimensions into the metadata. */
int mr_torch_views_finish(struct mr_torch_views *views);
void mr_torch_views_free(struct mr_torch_views *views);

#endif
