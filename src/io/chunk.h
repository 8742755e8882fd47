/* SPDX-License-Identifier: GPL-3.0-or-later
 * A chunk of a .mrw file: elements byte-shuffled (all first bytes, then all second bytes, ...) and deflated.
 * Weights' high bytes are alike, their low bytes are noise; side by side they cost what they are worth. */
#ifndef MR_IO_CHUNK_H
#define MR_IO_CHUNK_H

#include <stddef.h>
#include <stdint.h>

/* out[b * (size / width) + e] = in[e * width + b]; size is a multiple of width. And back. */
void mr_shuffle(const uint8_t *in, uint8_t *out, size_t size, size_t width);
void mr_unshuffle(const uint8_t *in, uint8_t *out, size_t size, size_t width);

/* The room that mr_chunk_pack may need for `size` bytes, at least one. */
size_t mr_chunk_bound(size_t size);
/* Packs raw (spare has its size) into packed, which has mr_chunk_bound bytes. level: 0 stores, 1 codes
 * single bytes (Huffman) and stores bytes that are noise, 2 to 9 search for repetitions too. */
int mr_chunk_pack(const uint8_t *raw, uint8_t *spare, size_t size, size_t width, int level, uint8_t *packed,
                  size_t *packed_size);
/* Unpacks exactly `size` bytes; spare has that size too. */
int mr_chunk_unpack(const uint8_t *packed, size_t packed_size, uint8_t *spare, uint8_t *raw, size_t size, size_t width);

#endif
