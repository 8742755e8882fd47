/* SPDX-License-Identifier: GPL-3.0-or-later
 * Memory of the host that runs out: malloc, calloc and realloc, each or as the group "memory". */
#include "fail_calls.h"

#include <dlfcn.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

/* The next function of the name: libc's own, or a sanitizer's. While it is looked up: libc's. */
#define NEXT(name, ...)                     \
    static __typeof__(__libc_##name) *next; \
    static _Thread_local int looking;       \
    if (!next && looking++)                 \
        return __libc_##name(__VA_ARGS__);  \
    if (!next)                              \
    next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

void *malloc(size_t size)
{
    NEXT(malloc, size);
    if (fault_caller_counts(__builtin_return_address(0)) && fault_here("malloc", "memory", NULL))
        return NULL;
    return next(size);
}

void *calloc(size_t count, size_t size)
{
    NEXT(calloc, count, size);
    if (fault_caller_counts(__builtin_return_address(0)) && fault_here("calloc", "memory", NULL))
        return NULL;
    return next(count, size);
}

void *realloc(void *block, size_t size)
{
    NEXT(realloc, block, size);
    if (fault_caller_counts(__builtin_return_address(0)) && fault_here("realloc", "memory", NULL))
        return NULL;
    return next(block, size);
}
