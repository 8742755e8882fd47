/* SPDX-License-Identifier: GPL-3.0-or-later
 * The added tokens of a Hugging Face folder, which stand in up to four files beside the vocabulary. */
#ifndef MR_TEXT_ADDED_TOKENS_H
#define MR_TEXT_ADDED_TOKENS_H

#include <jansson.h>

/* *tokens: what tokenizer.json, tokenizer_config.json, added_tokens.json and special_tokens_map.json of the folder say,
 * as "added_tokens" of a tokenizer.json has it; the first of these files that names a token is right. `vocab` gives
 * the ids of those that are named without. */
int mr_added_tokens_read(const char *folder, const json_t *vocab, json_t **tokens);

#endif
