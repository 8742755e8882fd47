/* SPDX-License-Identifier: GPL-3.0-or-later
 * Work on all cores of the host. */
#ifndef MR_BASE_THREADS_H
#define MR_BASE_THREADS_H

#include <stddef.h>

/* The cores this process may use; at least 1. */
int mr_cores(void);

/* Calls body(context, i) for i in 0..count-1, on all cores, in any order, and returns when all are done. When
 * calls fail, later ones are left out, and the error (code and text) is that of the lowest i among those that
 * failed. */
int mr_parallel_for(size_t count, int (*body)(void *context, size_t i), void *context);

#endif
