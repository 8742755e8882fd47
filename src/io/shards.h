/* SPDX-License-Identifier: GPL-3.0-or-later
 * A model in several files, as Hugging Face stores it: an index (model.safetensors.index.json,
 * pytorch_model.bin.index.json) says in "weight_map" which file beside it holds which tensor. */
#ifndef MR_IO_SHARDS_H
#define MR_IO_SHARDS_H

#include "io/tensor_file.h"

/* One file of all tensors, shard after shard; the metadata is the index's own. `open` opens a shard. A shard
 * or tensor that is missing, or a tensor in two shards, is an error that names it. */
int mr_shards_open(mr_tensor_file **file, const char *index, int (*open)(mr_tensor_file **file, const char *path));

/* The path of a file in the same folder as `path`; the caller frees it. NULL: out of memory. */
char *mr_path_beside(const char *path, const char *name);

#endif
