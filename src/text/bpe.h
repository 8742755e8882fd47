/* SPDX-License-Identifier: GPL-3.0-or-later
 * Byte-level byte-pair encoding: a word begins as the tokens of its bytes; then, again and again, the pair of
 * neighbours whose merge comes first in the list (the leftmost of them) becomes one token. */
#ifndef MR_TEXT_BPE_H
#define MR_TEXT_BPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/ids.h"
#include "text/pairs.h"
#include "text/trie.h"
#include "text/vocab.h"

struct mr_bpe {
    struct mr_vocab vocab;
    int32_t byte_id[256];   /* -1: no token */
    struct mr_pairs merges; /* to the place in the list */
    struct {
        uint32_t left, right, merged;
    } * merge; /* the list */
    size_t merge_count, merge_capacity;
    bool whole_words;     /* a word that is a token is that token, whatever the merges say */
    struct mr_trie words; /* with whole_words: all tokens */
};

/* Call after the vocabulary is complete and before the merges are added. */
int mr_bpe_find_bytes(struct mr_bpe *b);
/* Adds a merge at the end of the list; a pair that is there already keeps its place. */
int mr_bpe_add_merge(struct mr_bpe *b, uint32_t left, uint32_t right, uint32_t merged);
/* Allows whole words. */
int mr_bpe_use_whole_words(struct mr_bpe *b);
void mr_bpe_free(struct mr_bpe *b); /* {0} is fine */

/* Fills the vocabulary and the list of merges from what byte-level BPE files have: an object of spellings and ids,
 * and per merge a text "LEFT RIGHT", or a list of the two. MR_EFILE names the token or merge that is wrong. */
int mr_bpe_from_json(struct mr_bpe *b, const json_t *vocab, const json_t *merges);

/* Room for encoding, with a memory of words: one per encoder. */
typedef struct mr_bpe_scratch mr_bpe_scratch;
int mr_bpe_scratch_open(mr_bpe_scratch **scratch);
void mr_bpe_scratch_close(mr_bpe_scratch *scratch); /* NULL is fine */

/* Appends the ids of one word, in O(n log n). A byte that has no token is MR_EFILE with its place; `position` is that
 * of the word in the text. */
int mr_bpe_encode(const struct mr_bpe *b, mr_bpe_scratch *scratch, const char *word, size_t size, uint64_t position,
                  struct mr_ids *ids);

/* The same for all words (text/words.h) of the bytes; with `more`, of those that are certain, and *used is their
 * size. */
int mr_bpe_encode_words(const struct mr_bpe *b, mr_bpe_scratch *scratch, const char *bytes, size_t size, bool more,
                        uint64_t position, struct mr_ids *ids, size_t *used);

#endif
