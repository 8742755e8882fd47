/* SPDX-License-Identifier: GPL-3.0-or-later
 * Cutting text into words as GPT-2 does, by the pattern
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * A word of more than MR_LONGEST_WORD bytes, which no text has, is cut there. The words together are the text. An
 * invalid byte of UTF-8 counts as a character that is neither letter, number nor white space. */
#ifndef MR_TEXT_WORDS_H
#define MR_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum { MR_LONGEST_WORD = 1 << 18 };

/* The size of the word at the start of the bytes. With `more`, further bytes follow: 0 when they are needed to tell. */
size_t mr_word(const char *bytes, size_t size, bool more);

#endif
