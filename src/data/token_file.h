/* SPDX-License-Identifier: GPL-3.0-or-later
 * Prepared data: a folder with train.bin and val.bin (token ids, little-endian uint16, or uint32 where an id may
 * be above 65535) and meta.json:
 *     {"format": 1, "tokenizer": {…}, "vocab_size": V, "dtype": "uint16",
 *      "train": {"tokens": N, "bytes": N, "digest": "…"}, "val": {…}}      bytes: of the text; digest: of the file
 * Where only some tokens are to be predicted, train.mask and val.mask have a byte for each, 1 if it is, and a split
 * says "mask": "digest of that file", "targets": N.
 * nanoGPT's own folders have no meta.json: their tokens are uint16; the characters are known where there is a
 * meta.pkl. llm.c's files begin with a header of 1024 bytes: magic number, version, count. Megatron's have an index,
 * train.idx, beside them. */
#ifndef MR_DATA_TOKEN_FILE_H
#define MR_DATA_TOKEN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/stored.h"

enum { MR_SPLIT_TRAIN, MR_SPLIT_VAL, MR_SPLITS };

/* "train" or "val". */
const char *mr_split_name(int split);

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct mr_token_data mr_token_data;

/* Maps both files; one of them may be missing and then counts as empty. MR_EFILE: neither is there, or meta.json
 * does not fit them. */
int mr_token_data_open(mr_token_data **data, const char *folder);
void mr_token_data_close(mr_token_data *data); /* NULL is fine */

uint64_t mr_token_data_count(const mr_token_data *data, int split);
/* Bytes of the text that the split's tokens stand for, 0 when not known. */
uint64_t mr_token_data_bytes(const mr_token_data *data, int split);
/* Counts them where no meta.json tells: by the data's own tokenizer, else by this one (which may be NULL). */
int mr_token_data_find_bytes(mr_token_data *data, const mr_stored_tokenizer *tokenizer);
/* 0 when not known. */
uint64_t mr_token_data_vocab_size(const mr_token_data *data);
/* Owned by the data; NULL when not known. */
const mr_stored_tokenizer *mr_token_data_tokenizer(const mr_token_data *data);

/* From now on a token that is not below vocab_size is an error when it is read. At first the limit is the data's
 * own vocabulary, where that is known. */
void mr_token_data_limit(mr_token_data *data, uint64_t vocab_size);
/* Tokens at, at + 1, …, at + count - 1 of a split. MR_EFILE: there are not so many, or one is outside the
 * vocabulary (with its place). */
int mr_token_data_read(const mr_token_data *data, int split, uint64_t at, size_t count, int32_t *tokens);

/* Whether some tokens are no targets. */
bool mr_token_data_is_masked(const mr_token_data *data);
/* targets[i] = -1 where token at + i of the split is none; the range must be one that mr_token_data_read takes. */
void mr_token_data_mask(const mr_token_data *data, int split, uint64_t at, size_t count, int32_t *targets);

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct mr_token_writer mr_token_writer;

/* Makes the folder where it is missing and begins both files. Nothing that is there changes before the commit. */
int mr_token_writer_open(mr_token_writer **w, const char *folder, const mr_tokenizer *tokenizer);
/* Before the first ids: masks are written too. */
int mr_token_writer_masks(mr_token_writer *w);
/* Whether the ids that follow are targets; at first they are. */
void mr_token_writer_targets(mr_token_writer *w, bool targets);
/* Appends ids to a split; text_bytes is how much text they stand for. */
int mr_token_writer_write(mr_token_writer *w, int split, const uint32_t *ids, size_t count, uint64_t text_bytes);
uint64_t mr_token_writer_count(const mr_token_writer *w, int split);
uint64_t mr_token_writer_bytes(const mr_token_writer *w, int split);
/* Ends the writing, successful or not, and frees w. */
int mr_token_writer_commit(mr_token_writer *w);
void mr_token_writer_discard(mr_token_writer *w); /* NULL is fine */

#endif
