/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/nanogpt_meta.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "io/pickle.h"
#include "base/utf8.h"

/* The character of the id at place i of itos, or -1: they need not be in order. */
static int64_t character(const struct mr_pickled *key, const struct mr_pickled *value, uint32_t count)
{
    uint32_t c;
    if (key->kind != MR_PICKLED_INT || key->integer < 0 || key->integer >= count || value->kind != MR_PICKLED_TEXT ||
        !value->size)
        return -1;
    return mr_utf8_decode(value->text, value->size, &c) == (int)value->size ? (int64_t)c : -1;
}

static int read_characters(const struct mr_pickled *itos, uint64_t vocab_size, json_t **tokenizer)
{
    uint32_t count = itos && itos->kind == MR_PICKLED_DICT ? itos->count / 2 : 0;
    if (!count || count != vocab_size)
        return 0;
    json_t *chars = json_array();
    int err = chars ? 0 : MR_ENOMEM;
    for (uint32_t i = 0; i < count && !err; i++)
        err = mr_json_append(chars, json_null());
    for (uint32_t i = 0; i < count && !err; i++) {
        const struct mr_pickled *key = itos->items[2 * i];
        int64_t c = character(key, itos->items[2 * i + 1], count);
        if (c < 0) { /* tokens of another kind */
            json_decref(chars);
            return 0;
        }
        if (json_array_set_new(chars, (size_t)key->integer, json_integer(c)))
            err = mr_fail(MR_ENOMEM, "out of memory for the characters");
    }
    if (!err && !(*tokenizer = json_pack("{ss sO}", "kind", "char", "chars", chars)))
        err = mr_fail(MR_ENOMEM, "out of memory for the characters");
    json_decref(chars);
    return err;
}

int mr_nanogpt_meta_load(const char *path, uint64_t *vocab_size, json_t **tokenizer)
{
    struct mr_map map = {0};
    struct mr_pickle pickle = {0};
    int err;
    *tokenizer = NULL;
    MR_GO(mr_map_open(&map, path));
    MR_GO(mr_pickle_read(&pickle, map.data, map.size, path));
    const struct mr_pickled *size = mr_pickled_get(pickle.root, "vocab_size");
    if (!size || size->kind != MR_PICKLED_INT || size->integer < 1 || size->integer > INT32_MAX) {
        err = mr_fail(MR_EFILE, "%s has no \"vocab_size\" from 1 on: is it of nanoGPT?", path);
        goto fail;
    }
    *vocab_size = (uint64_t)size->integer;
    err = read_characters(mr_pickled_get(pickle.root, "itos"), *vocab_size, tokenizer);
fail:
    mr_pickle_free(&pickle);
    mr_map_close(&map);
    return err;
}
