/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/byte_level.h"

#include <stdlib.h>

int mr_byte_level_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    return mr_bpe_encode_words(e->tokenizer->data, e->scratch, bytes, size, more, e->position, ids, used);
}

void mr_byte_level_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    const struct mr_bpe *b = t->data;
    mr_vocab_get(&b->vocab, id, bytes, size);
}

void mr_byte_level_close(mr_tokenizer *t)
{
    if (!t->data)
        return;
    mr_bpe_free(t->data);
    free(t->data);
}

int mr_byte_level_scratch_open(mr_encoder *e)
{
    return mr_bpe_scratch_open((mr_bpe_scratch **)&e->scratch);
}

void mr_byte_level_scratch_close(void *scratch)
{
    mr_bpe_scratch_close(scratch);
}
