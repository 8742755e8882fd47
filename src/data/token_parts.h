/* SPDX-License-Identifier: GPL-3.0-or-later
 * What reading and writing of prepared data share. */
#ifndef MR_DATA_TOKEN_PARTS_H
#define MR_DATA_TOKEN_PARTS_H

#include <limits.h>

#include "base/file.h"
#include "data/token_file.h"

enum { MR_TOKENS_FORMAT = 1 };

void mr_token_path(char path[PATH_MAX], const char *folder, int split);
void mr_token_mask_path(char path[PATH_MAX], const char *folder, int split);
/* Of the size and of what stands at evenly spaced places (of all, in a small file): tells at once whether a file is
 * the one that meta.json is about. */
int mr_token_digest(const struct mr_map *map, char hex[33]);

#endif
