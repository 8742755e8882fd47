/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token files of other programs: llm.c's, which begin with a header of 256 int32 (magic number, version, count), and
 * Megatron's, whose index (.idx) lies beside the .bin. */
#ifndef MR_DATA_FOREIGN_TOKENS_H
#define MR_DATA_FOREIGN_TOKENS_H

#include <stddef.h>
#include <stdint.h>

enum { MR_LLM_C_HEADER = 1024, MR_LLM_C_UINT16 = 20240520, MR_LLM_C_UINT32 = 20240801 };

typedef struct mr_foreign_tokens mr_foreign_tokens;

/* *t NULL: `path` (a .bin, or a .idx) is no such file. MR_EFILE: it is one, and damaged. */
int mr_foreign_tokens_open(mr_foreign_tokens **t, const char *path);
void mr_foreign_tokens_close(mr_foreign_tokens *t); /* NULL is fine */
uint64_t mr_foreign_tokens_count(const mr_foreign_tokens *t);
/* Tokens at … at + count - 1, which are there. MR_EFILE: one is not below `limit`. */
int mr_foreign_tokens_read(const mr_foreign_tokens *t, uint64_t at, size_t count, uint64_t limit, uint32_t *ids);

/* The bytes of a token by Megatron's number for its type (8: uint16, 4: int32); 0: not one that tokens have. */
int mr_megatron_width(int kind);
/* Writes the index of a file of `count` documents with these lengths. */
int mr_megatron_index_write(const char *path, int width, const uint32_t *lengths, size_t count);

#endif
