/* SPDX-License-Identifier: GPL-3.0-or-later
 * Cutting text at what a regular expression finds, as the pre-tokenizer "Split" of tokenizer.json files does. */
#ifndef MR_TEXT_SPLIT_H
#define MR_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mr_split mr_split;
typedef struct mr_split_scratch mr_split_scratch; /* for matching: one per encoder */

/* literal: the pattern is the text itself. keep_rest: what is between the matches are pieces too, else it is
 * dropped. An expression that is wrong, or looks back or at the start of the text, is MR_EFILE. */
int mr_split_open(mr_split **s, const char *pattern, size_t size, bool literal, bool keep_rest);
void mr_split_close(mr_split *s); /* NULL is fine */
int mr_split_scratch_open(mr_split_scratch **scratch);
void mr_split_scratch_close(mr_split_scratch *scratch); /* NULL is fine */

typedef int mr_split_piece(void *context, const char *bytes, size_t size);

/* Hands out the pieces of the bytes, from left to right. A byte of invalid UTF-8 is a piece of
 * its own. With `more`, further bytes
 * follow: only pieces that are certain, and *used is where to begin again; else all. */
int mr_split_all(const mr_split *s, mr_split_scratch *scratch, const char *bytes, size_t size, bool more,
                 mr_split_piece *piece, void *context, size_t *used);

#endif
