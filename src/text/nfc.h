/* SPDX-License-Identifier: GPL-3.0-or-later
 * Unicode's normal forms C and KC (é as one character; in KC, ﬁ as fi) and lower case, for texts that may be cut
 * anywhere and hold invalid UTF-8. */
#ifndef MR_TEXT_NFC_H
#define MR_TEXT_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* What is done to a text: its form, then lower case. All false: nothing. */
struct mr_normal {
    bool compose; /* form C, or with `compat` form KC */
    bool compat, lower;
};

/* True when the bytes are certainly as they are to be: in form C, where no character is from U+0300 on; else, where
 * none is beyond ASCII or in upper case. */
bool mr_normal_is_plain(const struct mr_normal *n, const char *bytes, size_t size);

/* Whether no character before c changes with it, so that a text may be normalised in two parts there. */
bool mr_normal_boundary(const struct mr_normal *n, uint32_t c);

/* How many of the bytes, from the start, can be normalised before what follows them is known. */
size_t mr_normal_certain(const struct mr_normal *n, const char *bytes, size_t size);

/* Appends the bytes as they are to be. Invalid bytes stay as they are; nothing changes across them. O(n) for any
 * text. */
int mr_normalise(const struct mr_normal *n, const char *bytes, size_t size, struct mr_str *out);

#endif
