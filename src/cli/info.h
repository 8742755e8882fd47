/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parts of info. */
#ifndef MR_CLI_INFO_H
#define MR_CLI_INFO_H

#include <stdbool.h>

#include "io/tensor_file.h"

/* A list of all tensors with name, dtype, shape, min, max, mean, std, nan, inf (of those that are finite; null where
 * there are none). Reads the whole file. */
int mr_info_tensors(mr_tensor_file *file, json_t **list);

/* What info tells, for people. */
int mr_info_print(const json_t *info);

/* Prints the classes and functions that a pickle asks for, as a table or as JSON. */
int mr_info_globals(const char *path, bool text);

#endif
