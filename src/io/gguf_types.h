/* SPDX-License-Identifier: GPL-3.0-or-later
 * The numbers by which GGUF files name types; for gguf.c and gguf_writer.c. */
#ifndef MR_IO_GGUF_TYPES_H
#define MR_IO_GGUF_TYPES_H

#include <stdint.h>

#include "io/numbers.h"

enum mr_gguf_value {
    MR_GGUF_U8,
    MR_GGUF_I8,
    MR_GGUF_U16,
    MR_GGUF_I16,
    MR_GGUF_U32,
    MR_GGUF_I32,
    MR_GGUF_F32,
    MR_GGUF_BOOL,
    MR_GGUF_TEXT,
    MR_GGUF_ARRAY,
    MR_GGUF_U64,
    MR_GGUF_I64,
    MR_GGUF_F64,
};

enum { MR_GGUF_DIMS = 4 };

#define MR_GGUF_TOKEN_TYPES "tokenizer.ggml.token_type"

/* Bytes of a number or bool; 0: another type. */
size_t mr_gguf_value_size(int type);

/* The format of a tensor's type, or -1. */
int mr_gguf_dtype(int32_t type);
/* Its name, also of those that are not read: for messages. */
const char *mr_gguf_type_name(int32_t type);

#endif
