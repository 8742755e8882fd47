/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "char": every character of a text is a token, in the order of their code points (or in
 * another one, where the JSON form says so). */
#ifndef MR_TEXT_CHARS_H
#define MR_TEXT_CHARS_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

/* The characters seen so far, one bit each; and the bytes of a character that a piece's end cut. */
struct mr_char_set {
    uint64_t seen[0x110000 / 64];
    uint64_t position; /* bytes so far */
    char cut[4];
    size_t cut_size;
};

/* Adds the characters of the next piece of a text. Invalid UTF-8 is MR_EFILE with its position; a text that
 * ends within a character is found by the finish, after which another text may follow. */
int mr_char_set_feed(struct mr_char_set *set, const char *bytes, size_t size);
int mr_char_set_finish(struct mr_char_set *set);

/* The tokenizer of the set's characters; none at all is MR_EFILE. */
int mr_tokenizer_from_chars(mr_tokenizer **t, const struct mr_char_set *set);

#endif
