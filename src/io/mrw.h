/* SPDX-License-Identifier: GPL-3.0-or-later
 * The project's own checkpoint files, .mrw; FORMAT.md describes them byte by byte. */
#ifndef MR_IO_MRW_H
#define MR_IO_MRW_H

#include "io/tensor_file.h"

#define MR_MRW_MAGIC "\x89mrw\r\n\x1a\n" /* 8 bytes; a transfer that takes it for text changes it */

enum {
    MR_MRW_VERSION = 1,
    MR_MRW_LEVEL = 1, /* the usual packing: Huffman codes of the bytes that are not noise */
};

/* Header and index are checked here, each chunk when it is read. Read ahead by all cores. */
int mr_mrw_open(mr_tensor_file **file, const char *path);

/* metadata: any JSON object (configuration, family, tokenizer, training state), or NULL. level: see
 * io/chunk.h. Chunks are packed by all cores. */
int mr_mrw_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                 const json_t *metadata, int level);

/* The writer will read back what it wrote before the file gets its name; MR_EFILE: it is not what was packed. */
void mr_mrw_verify(mr_tensor_writer *writer);

/* Shared by reader and writer. */
enum {
    MR_MRW_START = 16,         /* bytes before the header's text */
    MR_MRW_END = 16,           /* bytes after the index */
    MR_MRW_CHUNK = 4 << 20,    /* at most so many bytes of one tensor are packed together */
    MR_MRW_MOST_CHUNKS = 4096, /* in work at a time */
};

/* The bytes that are worked on at a time: some chunks for each core. */
size_t mr_mrw_budget(void);
/* How many bytes of elements fit a chunk. */
size_t mr_mrw_chunk_bytes(enum mr_dtype dtype, size_t chunk);

#endif
