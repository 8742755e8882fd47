/* SPDX-License-Identifier: GPL-3.0-or-later
 * One door to every file of tensors that can be read. */
#ifndef MR_IO_TENSOR_SOURCE_H
#define MR_IO_TENSOR_SOURCE_H

#include "io/tensor_file.h"

/* Opens a file by its content, never by its name: .mrw, safetensors, torch, .bin, GGUF, or the index of shards; or
 * a folder in Hugging Face layout, by the names that it has there. Where the file does not say its
 * configuration itself and a config.json lies beside it, or in the folder, that is file->config (but for .mrw,
 * .bin and GGUF). MR_EFILE: of no known format. */
int mr_tensor_source_open(mr_tensor_file **file, const char *path);

#endif
