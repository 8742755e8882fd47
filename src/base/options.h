/* SPDX-License-Identifier: GPL-3.0-or-later
 * Structs that programs built with another version of the header hand over: they begin with their size. */
#ifndef MR_BASE_OPTIONS_H
#define MR_BASE_OPTIONS_H

#include <stddef.h>

/* Fills the caller's struct of `size` bytes from ours; fields that only one of them knows are 0, or left out. */
void mr_give_defaults(void *options, size_t size, const void *defaults, size_t known);
/* The fields that the caller knows laid over the defaults in `to`, a struct of `size` bytes; from may be NULL. */
int mr_take_options(void *to, size_t size, const void *from, const char *name);
/* The fields that the caller knows of `from`, a struct of `size` bytes; to's own size stays. */
int mr_give_result(void *to, const void *from, size_t size, const char *name);

#endif
