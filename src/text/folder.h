/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer's files of a model's folder in Hugging Face layout. */
#ifndef MR_TEXT_FOLDER_H
#define MR_TEXT_FOLDER_H

#include "text/stored.h"

/* The tokenizer whose files lie in the folder: vocab.json and merges.txt (or encoder.json and vocab.bpe), a
 * vocabulary of RWKV World, or tokenizer.json; the first that is there. *t NULL: none is. */
int mr_folder_tokenizer(mr_tokenizer **t, const char *folder);

/* Whether the kind has such files: gpt2, json and world. Writes them; other kinds: nothing.
 */
bool mr_folder_tokenizer_writes(const mr_stored_tokenizer *tokenizer);
int mr_folder_tokenizer_write(const mr_stored_tokenizer *tokenizer, const char *folder);

#endif
