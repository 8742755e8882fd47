/* SPDX-License-Identifier: GPL-3.0-or-later
 * meta.pkl, which nanoGPT's preparation of characters leaves beside its tokens: a pickled dictionary of vocab_size,
 * itos (id to character) and stoi. */
#ifndef MR_DATA_NANOGPT_META_H
#define MR_DATA_NANOGPT_META_H

#include <jansson.h>
#include <stdint.h>

/* *tokenizer: the JSON form of a char tokenizer (a new reference), NULL when itos is no such thing. */
int mr_nanogpt_meta_load(const char *path, uint64_t *vocab_size, json_t **tokenizer);

#endif
