/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models in GGUF files: the names of their tensors, what the keys say of configuration and tokenizer, and the keys
 * that say it. Family and version follow llama.cpp: "general.architecture" is gpt2, rwkv6 or rwkv7. */
#ifndef MR_FORMATS_GGUF_H
#define MR_FORMATS_GGUF_H

#include "io/tensor_file.h"
#include "formats/layout.h"

/* A key of ours: the whole configuration, as JSON text; other programs pass it over. */
#define MR_GGUF_CONFIG "microrwkv.config"

bool mr_is_gguf(const mr_tensor_file *source);

const struct mr_name_rule *mr_gguf_rules(const struct mr_config *cfg);
/* The family of a file; MR_EFILE names those that are known. */
int mr_gguf_family(const mr_tensor_file *source);
/* Lays over cfg, whose family and sizes are known, what the keys say. Numbers that llama.cpp divides by powers of two
 * layer by layer are read undivided from then on. MR_EFILE: a contradiction, or something not computed here. */
int mr_gguf_config(mr_tensor_file *source, struct mr_config *cfg);

/* Whether a key is about what is said elsewhere here: neither lost nor to be kept as it is. */
bool mr_gguf_says_key(const char *key);
/* Keys of sizes and choices; `file_type` is the format of most matrices. */
int mr_gguf_put_config(json_t *keys, const struct mr_config *cfg, enum mr_dtype file_type);

/* The tokenizer as JSON (see text/tokenizer.h), or NULL where there is none or none that is supported (a warning). */
int mr_gguf_tokenizer(const json_t *keys, json_t **tokenizer);
/* Adds the tokenizer (or NULL), or names for the ids alone; *kept: it can be used from the file. */
int mr_gguf_put_tokenizer(json_t *keys, const json_t *tokenizer, const struct mr_config *cfg, bool *kept);

#endif
