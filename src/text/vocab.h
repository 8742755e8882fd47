/* SPDX-License-Identifier: GPL-3.0-or-later
 * The bytes of every token. And how byte-level BPE files spell bytes: as printable characters, so that any bytes
 * can stand in JSON ("Ġthe" is " the"). */
#ifndef MR_TEXT_VOCAB_H
#define MR_TEXT_VOCAB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "text/trie.h"

enum { MR_LARGEST_VOCAB = 1 << 20 };

struct mr_vocab {
    struct {
        uint32_t at, size; /* in bytes; size 0: the id stands for nothing */
    } * token;             /* [size] */
    size_t size, capacity;
    struct mr_str bytes;
};

/* Gives the id its bytes; the vocabulary grows to it. MR_EFILE when it has others already, when there are no bytes
 * or the id is beyond MR_LARGEST_VOCAB. */
int mr_vocab_set(struct mr_vocab *v, int64_t id, const char *bytes, size_t size);
void mr_vocab_free(struct mr_vocab *v); /* {0} is fine */

/* The bytes of id < v->size. */
static inline void mr_vocab_get(const struct mr_vocab *v, uint32_t id, const char **bytes, size_t *size)
{
    *size = v->token[id].size;
    *bytes = *size ? v->bytes.text + v->token[id].at : "";
}

/* The set of all tokens' bytes. Two tokens of the same bytes are MR_EFILE. */
int mr_vocab_trie(const struct mr_vocab *v, struct mr_trie *t);

/* Appends the spelling of the bytes. */
int mr_spell(const char *bytes, size_t size, struct mr_str *spelling);
/* Appends the bytes that a spelling stands for; what is no spelling stands for itself. */
int mr_unspell(const char *spelling, size_t size, struct mr_str *bytes);

/* A list of spellings in the order of the ids, null where there is no token. NULL: out of memory. */
json_t *mr_vocab_to_json(const struct mr_vocab *v);
int mr_vocab_from_json(struct mr_vocab *v, const json_t *list);

#endif
