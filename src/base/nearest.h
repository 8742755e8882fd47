/* SPDX-License-Identifier: GPL-3.0-or-later
 * What someone probably meant by an unknown name. */
#ifndef MR_BASE_NEAREST_H
#define MR_BASE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; '-' and '_' are alike.
 * Names beyond 63 bytes are compared by their first 63. */
int mr_edit_distance(const char *a, const char *b);

/* The known name nearest to `name`, the first among equals; NULL when known is empty. */
const char *mr_nearest(const char *name, const char *const *known, size_t count);

#endif
