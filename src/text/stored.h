/* SPDX-License-Identifier: GPL-3.0-or-later
 * A tokenizer as checkpoints and prepared data store it: handed on and compared without being opened. */
#ifndef MR_TEXT_STORED_H
#define MR_TEXT_STORED_H

#include "text/tokenizer.h"

typedef struct mr_stored_tokenizer mr_stored_tokenizer;

void mr_stored_tokenizer_free(mr_stored_tokenizer *stored); /* NULL is fine */
/* *to shares what `from` stores, and is freed on its own; NULL gives NULL. */
int mr_stored_tokenizer_copy(mr_stored_tokenizer **to, const mr_stored_tokenizer *from);
bool mr_stored_tokenizer_equal(const mr_stored_tokenizer *a, const mr_stored_tokenizer *b);

int mr_tokenizer_store(const mr_tokenizer *t, mr_stored_tokenizer **stored);
int mr_tokenizer_open_stored(mr_tokenizer **t, const mr_stored_tokenizer *stored);

/* To and from the JSON of a file: mr_tokenizer_to_json's form, checked only when it is opened. The object is shared. */
int mr_stored_tokenizer_from_json(mr_stored_tokenizer **stored, json_t *json);
json_t *mr_stored_tokenizer_json(const mr_stored_tokenizer *stored);

#endif
