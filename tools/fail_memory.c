/* SPDX-License-Identifier: GPL-3.0-or-later
 * Memory of the host that runs out: malloc, calloc and realloc, each or as the group "memory". */
#include "fail_calls.h"

#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

/* AddressSanitizer's, where the program is built with it. */
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *block, size_t size) __attribute__((weak));

#define FAILS(name) (fault_caller_counts(__builtin_return_address(0)) && fault_here(#name, "memory", NULL))
#define NEXT(name) (__interceptor_##name ? __interceptor_##name : __libc_##name)

void *malloc(size_t size)
{
    return FAILS(malloc) ? NULL : NEXT(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
    return FAILS(calloc) ? NULL : NEXT(calloc)(count, size);
}

void *realloc(void *block, size_t size)
{
    return FAILS(realloc) ? NULL : NEXT(realloc)(block, size);
}
