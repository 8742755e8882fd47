/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/str.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static int reserve(struct mr_str *s, size_t more)
{
    size_t need;
    if (!mr_add(s->size, more, &need) || !mr_add(need, 1, &need))
        return mr_fail(MR_ENOMEM, "a string of %zu bytes cannot grow by %zu", s->size, more);
    if (need <= s->capacity)
        return 0;
    size_t capacity = s->capacity ? s->capacity : 64;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *text = mr_realloc(s->text, capacity, 1);
    if (!text)
        return MR_ENOMEM;
    s->text = text;
    s->capacity = capacity;
    return 0;
}

int mr_str_append(struct mr_str *s, const void *bytes, size_t size)
{
    MR_TRY(reserve(s, size));
    if (size)
        memcpy(s->text + s->size, bytes, size);
    s->size += size;
    s->text[s->size] = 0;
    return 0;
}

int mr_str_printf(struct mr_str *s, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    int err = n < 0 ? mr_fail(MR_EINVAL, "cannot format \"%s\"", format) : reserve(s, (size_t)n);
    if (!err) {
        vsnprintf(s->text + s->size, (size_t)n + 1, format, again);
        s->size += (size_t)n;
    }
    va_end(again);
    return err;
}

void mr_str_free(struct mr_str *s)
{
    free(s->text);
    *s = (struct mr_str){0};
}

const char *mr_shell_word(const char *path, char *buffer, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+=:,@%";
    size_t n = 0;
    if (*path && !path[strspn(path, plain)])
        return path;
    buffer[n++] = '\'';
    for (; *path && n + 6 < size; path++)
        n += (size_t)snprintf(buffer + n, size - n, *path == '\'' ? "'\\''" : "%c", *path);
    buffer[n++] = '\'';
    buffer[n] = 0;
    return buffer;
}
