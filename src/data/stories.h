/* SPDX-License-Identifier: GPL-3.0-or-later
 * Short stories for small children, told from a grammar: what a small model can learn within minutes. */
#ifndef MR_DATA_STORIES_H
#define MR_DATA_STORIES_H

#include <stdint.h>

#include "base/str.h"

typedef struct mr_stories mr_stories;

/* The embedded grammar (data/stories.grammar), or another text of that form. */
int mr_stories_open(mr_stories **s, uint64_t seed);
int mr_stories_open_grammar(mr_stories **s, const char *grammar, uint64_t seed);
void mr_stories_close(mr_stories *s); /* NULL is fine */

/* Appends story number `index`, which depends on nothing but the seed and the index, in ASCII: one line a
 * paragraph, about 90 to 160 words, then the line <|endoftext|>. */
int mr_stories_tell(const mr_stories *s, uint64_t index, struct mr_str *text);

#endif
