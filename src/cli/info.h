/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parts of info. */
#ifndef MR_CLI_INFO_H
#define MR_CLI_INFO_H

#include <jansson.h>
#include <stdbool.h>

/* The description of a model, for people. */
int mr_info_print(const json_t *info);
/* Prints the classes and functions that a pickle asks for, as a table or as JSON. */
int mr_info_globals(const char *path, bool text);

#endif
