/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef MR_RT_HOST_MEMORY_H
#define MR_RT_HOST_MEMORY_H

#include <stddef.h>

/* Bytes that this process can still take: MemAvailable and the limits of its control groups (versions 1 and 2),
 * whichever is least; SIZE_MAX where nothing says. `root` is "" but in tests. */
size_t mr_host_memory(const char *root);

#endif
