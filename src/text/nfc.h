/* SPDX-License-Identifier: GPL-3.0-or-later
 * Unicode's normal form C (é as one character), for texts that may be cut anywhere and hold invalid UTF-8. */
#ifndef MR_TEXT_NFC_H
#define MR_TEXT_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* True when the bytes are certainly in form C already: no character from U+0300 on. */
bool mr_nfc_is_plain(const char *bytes, size_t size);

/* Whether no character before c changes with it, so that a text may be normalised in two parts there. */
bool mr_nfc_boundary(uint32_t c);

/* How many of the bytes, from the start, can be normalised before what follows them is known. */
size_t mr_nfc_certain(const char *bytes, size_t size);

/* Appends the form C of the bytes. Invalid bytes stay as they are; nothing changes across them. O(n) for any text. */
int mr_nfc(const char *bytes, size_t size, struct mr_str *out);

#endif
