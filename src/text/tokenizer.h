/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tokenizers: bytes to token ids and back. A tokenizer does not change once it is open, so that any number of
 * encoders (and threads) share it. It is stored inside checkpoints and prepared data as JSON. */
#ifndef MR_TEXT_TOKENIZER_H
#define MR_TEXT_TOKENIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/ids.h"

typedef struct mr_tokenizer mr_tokenizer;
typedef struct mr_encoder mr_encoder;

/* The line that ends a document in text files, and the text of the special token that ends one. */
#define MR_END_OF_TEXT "<|endoftext|>"

/* spec: "byte", "gpt2:DIR", "json:FILE", "world:FILE" or "bpe:FILE". "char" is made from a text: text/chars.h.
 * An unknown kind is MR_EINVAL, a file that cannot be read or is wrong MR_EFILE. */
int mr_tokenizer_open(mr_tokenizer **t, const char *spec);

/* The tokenizer that mr_tokenizer_to_json gave. */
int mr_tokenizer_open_json(mr_tokenizer **t, const json_t *json);
/* A new reference, or NULL with the error text set. */
json_t *mr_tokenizer_to_json(const mr_tokenizer *t);

void mr_tokenizer_close(mr_tokenizer *t); /* NULL is fine */

/* The kind: "byte", "char", "gpt2", "json", "world" or "bpe". */
const char *mr_tokenizer_name(const mr_tokenizer *t);
/* One more than the largest id. */
size_t mr_tokenizer_vocab_size(const mr_tokenizer *t);
/* The token that ends a document, or -1. */
int64_t mr_tokenizer_end(const mr_tokenizer *t);

/* The tokens that its programs put before a text (OPT's </s>); encoding does not add them. */
const uint32_t *mr_tokenizer_start(const mr_tokenizer *t, size_t *count);

/* Equal tokenizers give the same ids for every text; the fingerprint is a hash of the JSON form. */
int mr_tokenizer_fingerprint(const mr_tokenizer *t, uint64_t *hash);
bool mr_tokenizer_equal(const mr_tokenizer *a, const mr_tokenizer *b);

/* The bytes of a token, owned by the tokenizer; ids that stand for nothing give size 0. MR_EFILE when the id
 * is not below the vocabulary's size. */
int mr_tokenizer_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size);

/* Appends the ids of a whole text. `special`: "<|endoftext|>" and the like become their tokens; else they are
 * ordinary text. A text that the tokenizer cannot express is MR_EFILE with the position. */
int mr_tokenizer_encode(const mr_tokenizer *t, const char *bytes, size_t size, bool special, struct mr_ids *ids);

/* The same piece by piece, for texts of any size: all feeds and the finish together append the ids that
 * mr_tokenizer_encode gives for the whole; then a new text may begin (after an error: none). Memory stays within a few
 * hundred KiB and the longest piece that cannot be cut (for byte-level BPE, a word). */
int mr_encoder_open(mr_encoder **e, const mr_tokenizer *t, bool special);
int mr_encoder_feed(mr_encoder *e, const char *bytes, size_t size, struct mr_ids *ids);
int mr_encoder_finish(mr_encoder *e, struct mr_ids *ids);
void mr_encoder_close(mr_encoder *e); /* NULL is fine */

#endif
