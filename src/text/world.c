/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "world:FILE": the vocabulary of RWKV World. A line is an id, a Python literal and its size in bytes;
 * a text is cut, from left to right, into the longest tokens. The id 0 stands in no file: it ends a document. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/python_literal.h"
#include "text/tokenizer_kind.h"
#include "text/vocab.h"

enum { LARGEST_FILE = 256 << 20, LONGEST_ID = 18 };

struct world {
    struct mr_vocab vocab;
    struct mr_trie trie;
};

/* A number of decimal digits and nothing else, or -1. */
static int64_t number(const char *text, size_t size)
{
    int64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)text[i]) || i == LONGEST_ID)
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return size ? value : -1;
}

static int read_line(struct mr_vocab *v, const char *line, size_t size, struct mr_str *bytes)
{
    const char *first = memchr(line, ' ', size), *last = memrchr(line, ' ', size);
    if (!first || first == last)
        return mr_fail(MR_EFILE, "expected an id, a string and its size");
    int64_t id = number(line, (size_t)(first - line)), length = number(last + 1, (size_t)(line + size - last - 1));
    if (id < 0 || length < 0)
        return mr_fail(MR_EFILE, "the %s is not a number", id < 0 ? "id" : "size");
    bytes->size = 0;
    MR_TRY(mr_python_literal(first + 1, (size_t)(last - first - 1), bytes));
    if ((int64_t)bytes->size != length)
        return mr_fail(MR_EFILE, "the string has %zu bytes, but the line says %lld", bytes->size, (long long)length);
    if (id < (int64_t)v->size && v->token[id].size)
        return mr_fail(MR_EFILE, "duplicate id %lld", (long long)id);
    return mr_vocab_set(v, id, bytes->text, bytes->size);
}

static int finish(mr_tokenizer *t)
{
    struct world *w = t->data;
    if (!w->vocab.size)
        return mr_fail(MR_EFILE, "it contains no tokens");
    t->vocab_size = w->vocab.size;
    MR_TRY(mr_vocab_trie(&w->vocab, &w->trie));
    if (w->vocab.token[0].size)
        return 0;
    t->end = 0;
    return mr_tokenizer_add_special(t, MR_END_OF_TEXT, strlen(MR_END_OF_TEXT), 0);
}

static int world_open(mr_tokenizer *t, const char *path)
{
    struct mr_str text = {0}, bytes = {0};
    struct world *w = t->data = mr_alloc(1, sizeof *w);
    unsigned long line = 0;
    int err = w ? mr_file_read(path, LARGEST_FILE, &text) : MR_ENOMEM;
    for (size_t at = text.size ? mr_utf8_mark(text.text, text.size) : 0; at < text.size && !err;) {
        const char *start = text.text + at, *end = memchr(start, '\n', text.size - at);
        size_t size = end ? (size_t)(end - start) : text.size - at;
        at += size + 1;
        line++;
        if (size && start[size - 1] == '\r')
            size--;
        err = size ? read_line(&w->vocab, start, size, &bytes) : 0;
        if (err < 0)
            mr_fail_in(err, "line %lu", line);
    }
    mr_str_free(&text);
    mr_str_free(&bytes);
    if (!err)
        err = finish(t);
    return err == MR_EFILE ? mr_fail_kind(err, path) : err;
}

static int world_load(mr_tokenizer *t, const json_t *json)
{
    struct world *w = t->data = mr_alloc(1, sizeof *w);
    if (!w)
        return MR_ENOMEM;
    MR_TRY(mr_vocab_from_json(&w->vocab, json_object_get(json, "vocab")));
    return finish(t);
}

static int world_save(const mr_tokenizer *t, json_t *json)
{
    const struct world *w = t->data;
    json_t *vocab = mr_vocab_to_json(&w->vocab);
    return vocab ? mr_json_set(json, "vocab", vocab) : MR_ENOMEM;
}

static void world_close(mr_tokenizer *t)
{
    struct world *w = t->data;
    if (!w)
        return;
    mr_vocab_free(&w->vocab);
    mr_trie_free(&w->trie);
    free(w);
}

static int world_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    const struct world *w = e->tokenizer->data;
    size_t at = 0;
    while (at < size) {
        uint32_t id = 0;
        bool open;
        size_t n = mr_trie_longest(&w->trie, bytes + at, size - at, &id, &open);
        if (open && more)
            break;
        if (!n)
            return mr_fail(MR_EFILE, "the vocabulary has no token for byte 0x%02x, found at offset %llu",
                           (unsigned char)bytes[at], (unsigned long long)(e->position + at));
        MR_TRY(mr_ids_append(ids, id));
        at += n;
    }
    *used = at;
    return 0;
}

static void world_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    const struct world *w = t->data;
    mr_vocab_get(&w->vocab, id, bytes, size);
}

const struct mr_tokenizer_kind mr_tokenizer_world = {
    .name = "world",
    .argument = "FILE",
    .open = world_open,
    .load = world_load,
    .save = world_save,
    .close = world_close,
    .encode = world_encode,
    .decode = world_decode,
};
