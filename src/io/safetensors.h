/* SPDX-License-Identifier: GPL-3.0-or-later
 * safetensors: u64 header size, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__": {text:
 * text}}, then the tensors' bytes without gaps. */
#ifndef MR_IO_SAFETENSORS_H
#define MR_IO_SAFETENSORS_H

#include "io/tensor_file.h"

int mr_safetensors_open(mr_tensor_file **file, const char *path);

/* metadata: an object or NULL; values that are no text are stored as their JSON text. "format": "pt" is added
 * where nothing else is said, as other programs look for it. */
int mr_safetensors_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors,
                         size_t count, const json_t *metadata);

#endif
