/* SPDX-License-Identifier: GPL-3.0-or-later
 * GGUF, the files of llama.cpp. Little-endian: "GGUF", u32 version, i64 number of tensors, i64 number of keys; per key:
 * its name (u64 length, bytes), i32 type, value; per tensor: name, u32 number of dimensions, i64 dimensions (fastest
 * first), i32 type, u64 offset; then, from a multiple of the alignment (32, or the key general.alignment) on, the
 * tensors, each from such a multiple on. Versions 2 and 3 are the same here. */
#ifndef MR_IO_GGUF_H
#define MR_IO_GGUF_H

#include "io/tensor_file.h"

#define MR_GGUF_MAGIC "GGUF"

/* The metadata has the file's keys. Numbers of long arrays are left out (null) unless they are token types. */
int mr_gguf_open(mr_tensor_file **file, const char *path);

/* From now on the numbers of tensor i read as 2^exponent times what is stored. */
int mr_gguf_shift(mr_tensor_file *file, size_t i, int exponent);

/* metadata: its keys in their order. Whole numbers become u32 where they fit, else i64 (i32 in arrays), others f32;
 * arrays are of texts or of numbers. */
int mr_gguf_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                  const json_t *metadata);

/* The number that stands for a format in GGUF files, or -1. */
int mr_gguf_type(enum mr_dtype dtype);

#endif
