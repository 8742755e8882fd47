/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tokenizers of every kind as checkpoints and prepared data hold them. */
#include "tokenizer.h"

#include "base/json.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    json_t *json = NULL;
    mr_tokenizer *t = NULL;
    MR_TRY(mr_json_parse(&json, (const char *)data, size, "the tokenizer"));
    int err = mr_tokenizer_open_json(&t, json);
    json_decref(json);
    if (!err)
        fuzz_tokenizer(t);
    return err;
}
