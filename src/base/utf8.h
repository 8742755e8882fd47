/* SPDX-License-Identifier: GPL-3.0-or-later
 * UTF-8, strictly: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef MR_BASE_UTF8_H
#define MR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { MR_UTF8_CUT = 0, MR_UTF8_INVALID = -1 };

/* The character at the start of size >= 1 bytes: its length 1 to 4, or MR_UTF8_CUT when the bytes end within
 * what may become a character, or MR_UTF8_INVALID. */
int mr_utf8_decode(const char *bytes, size_t size, uint32_t *code_point);

/* Writes 1 to 4 bytes and returns how many. */
int mr_utf8_encode(uint32_t code_point, char out[4]);

/* How many of the bytes, from the start, are whole valid characters. */
size_t mr_utf8_valid(const char *bytes, size_t size);

/* The largest size up to this one, which is within the bytes, that cuts no character in two. */
size_t mr_utf8_cut(const char *bytes, size_t size);

/* The size of the byte order mark that the bytes begin with, or 0. */
size_t mr_utf8_mark(const char *bytes, size_t size);

#define MR_UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Appends the bytes as valid UTF-8: each stretch that is none, as long as it may begin a character, becomes U+FFFD.
 * *replaced (may be NULL) grows by their number. */
int mr_utf8_repair(const char *bytes, size_t size, struct mr_str *text, uint64_t *replaced);

#endif
