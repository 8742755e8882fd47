/* SPDX-License-Identifier: GPL-3.0-or-later
 * Prepared data: meta.json, train.bin, val.bin; where meta.json is empty, as other programs prepare it, perhaps with
 * meta.pkl, the last part. */
#include "fuzz.h"

#include "data/token_file.h"

static int read_split(mr_token_data *data, int split)
{
    int32_t tokens[64];
    uint64_t count = mr_token_data_count(data, split);
    for (uint64_t at = 0; at < count; at += 64)
        MR_TRY(mr_token_data_read(data, split, at, count - at < 64 ? (size_t)(count - at) : 64, tokens));
    fuzz_must(mr_token_data_read(data, split, count, 1, tokens) < 0);
    return 0;
}

static int read_tokenizer(const mr_token_data *data)
{
    mr_tokenizer *tokenizer = NULL;
    const mr_stored_tokenizer *stored = mr_token_data_tokenizer(data);
    int err = stored ? mr_tokenizer_open_stored(&tokenizer, stored) : 0;
    mr_tokenizer_close(tokenizer);
    return err;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[4];
    mr_token_data *tokens = NULL;
    fuzz_parts(data, size, parts, 4);
    if (!parts[0].size)
        parts[0].bytes = NULL;
    fuzz_part_file("meta.json", &parts[0]);
    fuzz_part_file("train.bin", &parts[1]);
    fuzz_part_file("val.bin", &parts[2]);
    fuzz_part_file("meta.pkl", &parts[3]);
    int err = mr_token_data_open(&tokens, fuzz_folder());
    if (err)
        return err;
    for (int split = 0; split < MR_SPLITS && !err; split++)
        err = read_split(tokens, split);
    if (!err)
        err = read_tokenizer(tokens);
    mr_token_data_close(tokens);
    return err;
}
