/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "byte": every byte is its own token. */
#include "text/tokenizer_kind.h"

static const unsigned char all_bytes[256] = {
#define FOUR(n) n, n + 1, n + 2, n + 3
#define SIXTEEN(n) FOUR(n), FOUR(n + 4), FOUR(n + 8), FOUR(n + 12)
#define SIXTY_FOUR(n) SIXTEEN(n), SIXTEEN(n + 16), SIXTEEN(n + 32), SIXTEEN(n + 48)
    SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

static int byte_load(mr_tokenizer *t, const json_t *json)
{
    (void)json;
    t->vocab_size = 256;
    return 0;
}

static int byte_open(mr_tokenizer *t, const char *argument)
{
    (void)argument;
    return byte_load(t, NULL);
}

static int byte_save(const mr_tokenizer *t, json_t *json)
{
    (void)t;
    (void)json;
    return 0;
}

static void byte_close(mr_tokenizer *t)
{
    (void)t;
}

static int byte_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    (void)e;
    (void)more;
    int err = mr_ids_reserve(ids, size);
    if (err < 0)
        return err;
    for (size_t i = 0; i < size; i++)
        ids->id[ids->count + i] = (unsigned char)bytes[i];
    ids->count += size;
    *used = size;
    return 0;
}

static void byte_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    (void)t;
    *bytes = (const char *)&all_bytes[id];
    *size = 1;
}

const struct mr_tokenizer_kind mr_tokenizer_byte = {
    .name = "byte",
    .open = byte_open,
    .load = byte_load,
    .save = byte_save,
    .close = byte_close,
    .encode = byte_encode,
    .decode = byte_decode,
};
