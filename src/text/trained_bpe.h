/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "bpe", from the merges that training found. */
#ifndef MR_TEXT_TRAINED_BPE_H
#define MR_TEXT_TRAINED_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

/* Merge i (left << 32 | right) gives the token 256 + i; both are below it. */
int mr_tokenizer_from_merges(mr_tokenizer **t, const uint64_t *merges, size_t count);

#endif
