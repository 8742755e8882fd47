/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/hf_tokenizer.h"

#include "base/error.h"
#include "base/json.h"

static int json_open(mr_tokenizer *t, const char *path)
{
    json_t *json = NULL;
    MR_TRY(mr_json_load(&json, path));
    int err = mr_hf_tokenizer_read(t, json);
    json_decref(json);
    return err;
}

static void json_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    const struct mr_hf_tokenizer *j = t->data;
    mr_vocab_get(&j->bpe.vocab, id, bytes, size);
}

const struct mr_tokenizer_kind mr_tokenizer_json = {
    .name = "json",
    .argument = "FILE",
    .open = json_open,
    .load = mr_hf_tokenizer_read,
    .save = mr_tokenizer_save_source,
    .close = mr_hf_tokenizer_close,
    .encode = mr_hf_tokenizer_encode,
    .decode = json_decode,
    .scratch_open = mr_hf_tokenizer_scratch_open,
    .scratch_close = mr_hf_tokenizer_scratch_close,
};
