/* SPDX-License-Identifier: GPL-3.0-or-later
 * Memory of the host and overflow-checked sizes. */
#ifndef MR_BASE_ALLOC_H
#define MR_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* count * size zeroed bytes (at least one); NULL with the error text set on failure or overflow. */
void *mr_alloc(size_t count, size_t size);

/* Like realloc with count * size bytes; on failure NULL, and the old block stays. New bytes are not set. */
void *mr_realloc(void *block, size_t count, size_t size);

/* Makes room for `need` elements of `size` bytes in *array (a pointer to the pointer), at least doubling *capacity
 * when it grows. New elements are not set. */
int mr_grow(void *array, size_t *capacity, size_t need, size_t size);

/* A copy of the string, or NULL. */
char *mr_strdup(const char *text);

/* *out = a * b; false on overflow. */
static inline bool mr_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* *out = a + b; false on overflow. */
static inline bool mr_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline size_t mr_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static inline int64_t mr_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
