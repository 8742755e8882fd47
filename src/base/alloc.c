/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void *mr_alloc(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        mr_fail(MR_ENOMEM, "out of memory: cannot allocate %zu x %zu bytes on the host", count, size);
    return block;
}

void *mr_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;
    void *grown = mr_mul(count, size, &bytes) ? realloc(block, bytes ? bytes : 1) : NULL;
    if (!grown)
        mr_fail(MR_ENOMEM, "out of memory: cannot allocate %zu x %zu bytes on the host", count, size);
    return grown;
}

int mr_grow(void *array, size_t *capacity, size_t need, size_t size)
{
    void *block;
    if (need <= *capacity)
        return 0;
    size_t wider = *capacity > SIZE_MAX / 2 || *capacity * 2 < need ? need : *capacity * 2;
    memcpy(&block, array, sizeof block);
    block = mr_realloc(block, wider, size);
    if (!block)
        return MR_ENOMEM;
    memcpy(array, &block, sizeof block);
    *capacity = wider;
    return 0;
}

char *mr_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = mr_alloc(n, 1);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}
