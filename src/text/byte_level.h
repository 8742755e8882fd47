/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the kinds of byte-level BPE share that cut text into GPT-2's words; their t->data is a struct mr_bpe. */
#ifndef MR_TEXT_BYTE_LEVEL_H
#define MR_TEXT_BYTE_LEVEL_H

#include "text/bpe.h"
#include "text/tokenizer_kind.h"

int mr_byte_level_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used);
void mr_byte_level_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size);
void mr_byte_level_close(mr_tokenizer *t);
int mr_byte_level_scratch_open(mr_encoder *e);
void mr_byte_level_scratch_close(void *scratch);

#endif
