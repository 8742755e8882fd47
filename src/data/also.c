/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/also.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "data/foreign_tokens.h"
#include "data/token_file.h"

enum { PIECE = 1 << 14 };

int mr_also_check(const char *format)
{
    return !strcmp(format, "llm.c") || !strcmp(format, "megatron")
               ? 0
               : mr_fail(MR_EINVAL, "--also %s: it is llm.c or megatron", format);
}

static int width_of(const mr_token_data *data)
{
    return mr_token_data_vocab_size(data) > 65536 ? 4 : 2;
}

static int write_llm_c(const mr_token_data *data, int split, const char *path)
{
    const uint64_t count = mr_token_data_count(data, split);
    const int width = width_of(data);
    int32_t header[MR_LLM_C_HEADER / 4] = {width == 2 ? MR_LLM_C_UINT16 : MR_LLM_C_UINT32, width == 2 ? 1 : 7,
                                           (int32_t)count};
    int32_t ids[PIECE];
    uint16_t narrow[PIECE];
    mr_writer *out;
    int err;
    if (count > INT32_MAX)
        return mr_fail(MR_EFILE, "llm.c counts at most %d tokens in a file, and %s has %llu", INT32_MAX, path,
                       (unsigned long long)count);
    MR_TRY(mr_writer_open(&out, path));
    MR_GO(mr_writer_write(out, header, sizeof header));
    for (uint64_t at = 0; at < count;) {
        size_t n = count - at < PIECE ? (size_t)(count - at) : PIECE;
        MR_GO(mr_token_data_read(data, split, at, n, ids));
        for (size_t i = 0; i < n; i++)
            narrow[i] = (uint16_t)ids[i];
        MR_GO(mr_writer_write(out, width == 2 ? (const void *)narrow : ids, n * (size_t)width));
        at += n;
    }
    return mr_writer_commit(out);
fail:
    mr_writer_discard(out);
    return err;
}

/* The lengths of the documents, each with its end token; the rest is one more. */
static int write_index(const mr_token_data *data, int split, int64_t end, const char *path)
{
    const uint64_t count = mr_token_data_count(data, split);
    uint32_t *lengths = NULL;
    size_t documents = 0, capacity = 0;
    uint64_t length = 0;
    int32_t ids[PIECE];
    int err = 0;
    for (uint64_t at = 0; at < count && !err;) {
        size_t n = count - at < PIECE ? (size_t)(count - at) : PIECE;
        MR_GO(mr_token_data_read(data, split, at, n, ids));
        for (size_t i = 0; i < n; i++) {
            bool last = at + i + 1 == count;
            if (++length >= INT32_MAX)
                MR_GO(mr_fail(MR_EFILE, "a document of 2^31 tokens is too long for Megatron's index"));
            if (ids[i] != end && !last)
                continue;
            MR_GO(mr_grow(&lengths, &capacity, documents + 1, sizeof *lengths));
            lengths[documents++] = (uint32_t)length;
            length = 0;
        }
        at += n;
    }
    err = mr_megatron_index_write(path, width_of(data), lengths, documents);
fail:
    free(lengths);
    return err;
}

int mr_also_write(const char *folder, const char *format)
{
    bool llm_c = !strcmp(format, "llm.c");
    mr_token_data *data = NULL;
    mr_tokenizer *tokenizer = NULL;
    char path[PATH_MAX];
    int err;
    MR_TRY(mr_token_data_open(&data, folder));
    MR_GO(mr_tokenizer_open_stored(&tokenizer, mr_token_data_tokenizer(data)));
    snprintf(path, sizeof path, "%s/llm.c", folder);
    if (llm_c)
        MR_GO(mr_make_folder(path, 0777));
    for (int split = 0; split < MR_SPLITS; split++) {
        snprintf(path, sizeof path, "%s/%s%s%s", folder, llm_c ? "llm.c/" : "", mr_split_name(split),
                 llm_c ? ".bin" : ".idx");
        MR_GO(llm_c ? write_llm_c(data, split, path)
                    : write_index(data, split, (int64_t)mr_tokenizer_end(tokenizer), path));
    }
fail:
    mr_tokenizer_close(tokenizer);
    mr_token_data_close(data);
    return err;
}
