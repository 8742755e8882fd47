/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/foreign_tokens.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"

#define MAGIC "MMIDIDX\0\0"

enum { MAGIC_SIZE = 9, VERSION_SIZE = 8, KIND_AT = MAGIC_SIZE + VERSION_SIZE, HEAD = KIND_AT + 1 };

struct mr_foreign_tokens {
    struct mr_map map;
    char path[PATH_MAX];
    const uint8_t *tokens;
    uint64_t count;
    int width;
};

int mr_megatron_width(int kind)
{
    return kind == 8 || kind == 3 ? 2 : kind == 4 ? 4 : 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

/* NAME.idx and NAME.bin, of either. */
static bool find_pair(const char *path, char index[PATH_MAX], char tokens[PATH_MAX])
{
    size_t n = strlen(path);
    if (n >= PATH_MAX || (!ends_with(path, ".idx") && !ends_with(path, ".bin")))
        return false;
    snprintf(index, PATH_MAX, "%.*s.idx", (int)n - 4, path);
    snprintf(tokens, PATH_MAX, "%.*s.bin", (int)n - 4, path);
    return mr_is_file(index);
}

static int read_kind(const char *index, int *width)
{
    uint8_t head[HEAD];
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, index));
    bool whole = mr_reader_size(in) >= HEAD;
    int err = whole ? mr_reader_read(in, 0, head, HEAD) : 0;
    mr_reader_close(in);
    MR_TRY(err);
    if (!whole || memcmp(head, MAGIC, MAGIC_SIZE))
        return mr_fail(MR_EFILE, "%s is no index of Megatron's, as its name says", index);
    *width = mr_megatron_width(head[KIND_AT]);
    return *width ? 0
                  : mr_fail(MR_EFILE, "%s: tokens of its type %d are not supported: uint16 and int32 are", index,
                            head[KIND_AT]);
}

static int open_llm_c(mr_foreign_tokens *t, bool *found)
{
    int32_t header[3] = {0};
    if (t->map.size >= MR_LLM_C_HEADER)
        memcpy(header, t->map.data, sizeof header);
    *found = header[0] == MR_LLM_C_UINT16 || header[0] == MR_LLM_C_UINT32;
    if (!*found)
        return 0;
    t->width = header[0] == MR_LLM_C_UINT32 ? 4 : 2;
    t->tokens = t->map.data + MR_LLM_C_HEADER;
    t->count = (t->map.size - MR_LLM_C_HEADER) / (size_t)t->width;
    if (header[2] < 0 || (uint64_t)header[2] != t->count)
        return mr_fail(MR_EFILE, "%s: its header, of llm.c, says %d tokens, but %zu bytes follow", t->path, header[2],
                       t->map.size - MR_LLM_C_HEADER);
    return 0;
}

int mr_foreign_tokens_open(mr_foreign_tokens **out, const char *path)
{
    char index[PATH_MAX], tokens[PATH_MAX];
    bool megatron = find_pair(path, index, tokens), found = true;
    *out = NULL;
    if (!mr_is_file(path) || (!megatron && !ends_with(path, ".bin")))
        return 0;
    mr_foreign_tokens *t = mr_alloc(1, sizeof *t);
    if (!t)
        return MR_ENOMEM;
    snprintf(t->path, sizeof t->path, "%s", megatron ? tokens : path);
    int err = mr_map_open(&t->map, t->path);
    if (!err && megatron) {
        err = read_kind(index, &t->width);
        t->tokens = t->map.data;
        t->count = err ? 0 : t->map.size / (size_t)t->width;
    } else if (!err) {
        err = open_llm_c(t, &found);
    }
    if (err || !found)
        mr_foreign_tokens_close(t);
    else
        *out = t;
    return err;
}

void mr_foreign_tokens_close(mr_foreign_tokens *t)
{
    if (t)
        mr_map_close(&t->map);
    free(t);
}

uint64_t mr_foreign_tokens_count(const mr_foreign_tokens *t)
{
    return t->count;
}

int mr_foreign_tokens_read(const mr_foreign_tokens *t, uint64_t at, size_t count, uint64_t limit, uint32_t *ids)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *b = t->tokens + (at + i) * (uint64_t)t->width;
        ids[i] = (uint32_t)b[0] | (uint32_t)b[1] << 8;
        if (t->width == 4)
            ids[i] |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        if (ids[i] >= limit)
            return mr_fail(MR_EFILE, "%s: token %llu is %u, outside the tokenizer's %llu: it was made with another one",
                           t->path, (unsigned long long)(at + i), ids[i], (unsigned long long)limit);
    }
    return 0;
}

/* Magic, version 1, type, counts; then lengths (int32), places in bytes (int64), and the first sequence of each
 * document (int64): here a document is one sequence. */
int mr_megatron_index_write(const char *path, int width, const uint32_t *lengths, size_t count)
{
    const uint64_t version = 1, sequences = count, documents = count + 1;
    const uint8_t kind = width == 2 ? 8 : 4;
    mr_writer *out;
    int err;
    MR_TRY(mr_writer_open(&out, path));
    MR_GO(mr_writer_write(out, MAGIC, MAGIC_SIZE));
    MR_GO(mr_writer_write(out, &version, 8));
    MR_GO(mr_writer_write(out, &kind, 1));
    MR_GO(mr_writer_write(out, &sequences, 8));
    MR_GO(mr_writer_write(out, &documents, 8));
    MR_GO(mr_writer_write(out, lengths, count * sizeof *lengths));
    for (uint64_t i = 0, place = 0; i < count; place += lengths[i++] * (uint64_t)width)
        MR_GO(mr_writer_write(out, &place, 8));
    for (uint64_t i = 0; i <= count; i++)
        MR_GO(mr_writer_write(out, &i, 8));
    return mr_writer_commit(out);
fail:
    mr_writer_discard(out);
    return err;
}
