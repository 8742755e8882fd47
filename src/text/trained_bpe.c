/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/trained_bpe.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "text/byte_level.h"

enum { FORMAT = 1, LONGEST_TOKEN = 1 << 16 };

static int begin(mr_tokenizer *t)
{
    struct mr_bpe *b = t->data = mr_alloc(1, sizeof *b);
    if (!b)
        return MR_ENOMEM;
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        MR_TRY(mr_vocab_set(&b->vocab, i, &byte, 1));
    }
    return mr_bpe_find_bytes(b);
}

static int add_merge(struct mr_bpe *b, uint64_t left, uint64_t right)
{
    struct mr_str merged = {0};
    uint32_t id = (uint32_t)b->vocab.size;
    if (left >= id || right >= id)
        return mr_fail(MR_EFILE, "token %llu is not defined yet", (unsigned long long)(left >= id ? left : right));
    if (mr_pairs_get(&b->merges, mr_pair((uint32_t)left, (uint32_t)right)) != MR_NO_PAIR)
        return mr_fail(MR_EFILE, "the pair %llu %llu is already merged", (unsigned long long)left,
                       (unsigned long long)right);
    int err = 0;
    for (int i = 0; i < 2 && !err; i++) {
        const char *bytes;
        size_t size;
        mr_vocab_get(&b->vocab, (uint32_t)(i ? right : left), &bytes, &size);
        err = mr_str_append(&merged, bytes, size);
    }
    if (!err && merged.size > LONGEST_TOKEN)
        err = mr_fail(MR_EFILE, "it makes a token of more than %d bytes", LONGEST_TOKEN);
    if (!err)
        err = mr_vocab_set(&b->vocab, id, merged.text, merged.size);
    mr_str_free(&merged);
    return err ? err : mr_bpe_add_merge(b, (uint32_t)left, (uint32_t)right, id);
}

static int finish(mr_tokenizer *t)
{
    struct mr_bpe *b = t->data;
    t->end = (int64_t)b->vocab.size;
    MR_TRY(mr_vocab_set(&b->vocab, t->end, MR_END_OF_TEXT, strlen(MR_END_OF_TEXT)));
    t->vocab_size = b->vocab.size;
    return mr_tokenizer_add_special(t, MR_END_OF_TEXT, strlen(MR_END_OF_TEXT), (uint32_t)t->end);
}

static int bpe_load(mr_tokenizer *t, const json_t *json)
{
    const char *kind;
    json_t *merges;
    int64_t format, end;
    MR_TRY(mr_json_string(json, "kind", &kind));
    if (strcmp(kind, "bpe"))
        return mr_fail(MR_EFILE, "its kind is \"%s\", not \"bpe\"", kind);
    MR_TRY(mr_json_int(json, "format", 1, INT64_MAX, &format));
    if (format > FORMAT)
        return mr_fail(MR_EFILE, "its format %lld is newer than this program supports (%d)", (long long)format, FORMAT);
    MR_TRY(mr_json_array(json, "merges", &merges));
    MR_TRY(mr_json_int(json, "end", 0, INT64_MAX, &end));
    MR_TRY(begin(t));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *text = json_string_value(json_array_get(merges, i));
        unsigned long long left, right;
        char behind;
        if (!text || text[strspn(text, "0123456789 ")] || sscanf(text, "%9llu %9llu%c", &left, &right, &behind) != 2)
            return mr_fail(MR_EFILE, "merge %zu is not two ids separated by a space", i + 1);
        int err = add_merge(t->data, left, right);
        if (err < 0)
            return mr_fail_in(err, "merge %zu", i + 1);
    }
    MR_TRY(finish(t));
    return end == t->end ? 0
                         : mr_fail(MR_EFILE, "\"end\" is %lld, but after %zu merges it must be %lld", (long long)end,
                                   json_array_size(merges), (long long)t->end);
}

static int bpe_open(mr_tokenizer *t, const char *path)
{
    json_t *json = NULL;
    MR_TRY(mr_json_load(&json, path));
    int err = bpe_load(t, json);
    json_decref(json);
    return err;
}

static int bpe_save(const mr_tokenizer *t, json_t *json)
{
    const struct mr_bpe *b = t->data;
    json_t *merges = json_array();
    for (size_t i = 0; i < b->merge_count && merges; i++)
        MR_TRY(mr_json_append(merges, json_sprintf("%u %u", b->merge[i].left, b->merge[i].right)));
    MR_TRY(mr_json_set(json, "format", json_integer(FORMAT)));
    MR_TRY(mr_json_set(json, "merges", merges));
    return mr_json_set(json, "end", json_integer(t->end));
}

const struct mr_tokenizer_kind mr_tokenizer_bpe = {
    .name = "bpe",
    .argument = "FILE",
    .open = bpe_open,
    .load = bpe_load,
    .save = bpe_save,
    .close = mr_byte_level_close,
    .encode = mr_byte_level_encode,
    .decode = mr_byte_level_decode,
    .scratch_open = mr_byte_level_scratch_open,
    .scratch_close = mr_byte_level_scratch_close,
};

int mr_tokenizer_from_merges(mr_tokenizer **out, const uint64_t *merges, size_t count)
{
    json_t *list = json_array(), *json = NULL;
    int err = list ? 0 : MR_ENOMEM;
    for (size_t i = 0; i < count && !err; i++)
        err = mr_json_append(list, json_sprintf("%u %u", (unsigned)(merges[i] >> 32), (unsigned)merges[i]));
    if (!err)
        json =
            json_pack("{ss si sO sI}", "kind", "bpe", "format", FORMAT, "merges", list, "end", (json_int_t)count + 256);
    if (!err)
        err = json ? mr_tokenizer_open_json(out, json) : mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
    json_decref(list);
    json_decref(json);
    return err;
}
