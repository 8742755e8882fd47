/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files that are not what they seem: told by their first bytes, so that errors can name them. */
#ifndef MR_BASE_FILE_KIND_H
#define MR_BASE_FILE_KIND_H

#include <stddef.h>

enum { MR_FILE_HEAD = 512 }; /* bytes that tell all kinds */

/* What a file that begins so is, with advice: "a Git LFS pointer, not the file itself: …"; NULL: nothing that is known
 * here. */
const char *mr_file_kind(const void *head, size_t size);
/* The same of those that are also text, which someone may want to read as such: pages of the web; and text that is
 * not UTF-8. */
const char *mr_text_kind(const void *head, size_t size);
const char *mr_encoding_kind(const void *head, size_t size);

/* Adds to the error text of `code` what the file at `path` really is, where that is known; returns code. */
int mr_fail_kind(int code, const char *path);

#endif
