/* SPDX-License-Identifier: GPL-3.0-or-later
 * The .bin files of ggml's RWKV programs. Little-endian int32: magic, version 100 or 101, n_vocab, n_embd,
 * n_layer, data type; then to the end of the file, per tensor: number of dimensions, length of the name, data
 * type, dimensions (fastest first), name, data. Data types: 0 f32, 1 f16, 2 q4_0, 3 q4_1, 7 q5_0, 8 q5_1,
 * 9 q8_0. Some tensors are stored transformed (time_decay as -exp(d), ...): that is the model's business,
 * here are the stored numbers. */
#ifndef MR_IO_GGML_BIN_H
#define MR_IO_GGML_BIN_H

#include "io/tensor_file.h"

#define MR_GGML_MAGIC "fmgg" /* 0x67676d66 */

/* The metadata has version, n_vocab, n_embd, n_layer (integers) and data_type (as "q5_1"). */
int mr_ggml_bin_open(mr_tensor_file **file, const char *path);

/* metadata: n_vocab, n_embd, n_layer and data_type as above; version is 101 where it is not said; all else is
 * left out. */
int mr_ggml_bin_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                      const json_t *metadata);

#endif
