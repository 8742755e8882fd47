/* SPDX-License-Identifier: GPL-3.0-or-later
 * A growing byte string. Start with {0}; end with mr_str_free. */
#ifndef MR_BASE_STR_H
#define MR_BASE_STR_H

#include <stddef.h>

struct mr_str {
    char *text; /* NUL after size bytes; NULL while empty */
    size_t size, capacity;
};

int mr_str_append(struct mr_str *s, const void *bytes, size_t size);
__attribute__((format(printf, 2, 3))) int mr_str_printf(struct mr_str *s, const char *format, ...);
void mr_str_free(struct mr_str *s);
/* A path as a shell takes it: as it is, or in single quotes; written to `buffer` where it must be, cut where it does
 * not fit. For the commands that messages suggest. */
const char *mr_shell_word(const char *path, char *buffer, size_t size);

#endif
