/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

enum { FIRST_SUBSTITUTE = 0x100, SUBSTITUTES = 68, MOST_BYTES = 256 << 20 };

int mr_vocab_set(struct mr_vocab *v, int64_t id, const char *bytes, size_t size)
{
    size_t end;
    if (id < 0 || id >= MR_LARGEST_VOCAB)
        return mr_fail(MR_EFILE, "token id %lld is not between 0 and %d", (long long)id, MR_LARGEST_VOCAB - 1);
    if (!size)
        return mr_fail(MR_EFILE, "token %lld is empty", (long long)id);
    size_t before = v->capacity;
    MR_TRY(mr_grow(&v->token, &v->capacity, (size_t)id + 1, sizeof *v->token));
    if (v->capacity > before)
        memset(v->token + before, 0, (v->capacity - before) * sizeof *v->token);
    if ((size_t)id < v->size && v->token[id].size) {
        const char *old;
        size_t old_size;
        mr_vocab_get(v, (uint32_t)id, &old, &old_size);
        if (old_size == size && !memcmp(old, bytes, size))
            return 0;
        return mr_fail(MR_EFILE, "duplicate id %lld: \"%.*s\" and \"%.*s\"", (long long)id,
                       (int)(old_size < 40 ? old_size : 40), old, (int)(size < 40 ? size : 40), bytes);
    }
    if (!mr_add(v->bytes.size, size, &end) || end > MOST_BYTES)
        return mr_fail(MR_EFILE, "the tokens take more than 256 MiB in total");
    v->token[id].at = (uint32_t)v->bytes.size;
    v->token[id].size = (uint32_t)size;
    v->size = (size_t)id + 1 > v->size ? (size_t)id + 1 : v->size;
    return mr_str_append(&v->bytes, bytes, size);
}

void mr_vocab_free(struct mr_vocab *v)
{
    free(v->token);
    mr_str_free(&v->bytes);
    *v = (struct mr_vocab){0};
}

int mr_vocab_trie(const struct mr_vocab *v, struct mr_trie *t)
{
    struct mr_trie_entry *entries = mr_alloc(v->size, sizeof *entries);
    size_t count = 0;
    if (!entries)
        return MR_ENOMEM;
    for (uint32_t id = 0; id < v->size; id++) {
        struct mr_trie_entry e = {.id = id};
        mr_vocab_get(v, id, &e.bytes, &e.size);
        if (e.size)
            entries[count++] = e;
    }
    int err = mr_trie_build(t, entries, count);
    free(entries);
    return err;
}

/* ---- spelling ------------------------------------------------------------------------------------------ */

/* Bytes that are printable in Latin-1 are spelled by that character; all others, in turn, by U+0100, U+0101, … */
enum { FIRST_GAP = '!', SECOND_GAP = 0x7F, SECOND_GAP_END = 0xA1, THIRD_GAP = 0xAD };

static uint32_t substitute(unsigned byte)
{
    if (byte < FIRST_GAP)
        return FIRST_SUBSTITUTE + byte;
    if (byte >= SECOND_GAP && byte < SECOND_GAP_END)
        return FIRST_SUBSTITUTE + FIRST_GAP + (byte - SECOND_GAP);
    return byte == THIRD_GAP ? FIRST_SUBSTITUTE + SUBSTITUTES - 1 : byte;
}

/* The byte that the character spells, or -1. */
static int byte_of(uint32_t c)
{
    uint32_t n = c - FIRST_SUBSTITUTE;
    if (c < FIRST_SUBSTITUTE)
        return substitute(c) == c ? (int)c : -1;
    if (n < FIRST_GAP)
        return (int)n;
    if (n < SUBSTITUTES - 1)
        return (int)(n - FIRST_GAP + SECOND_GAP);
    return n == SUBSTITUTES - 1 ? THIRD_GAP : -1;
}

int mr_spell(const char *bytes, size_t size, struct mr_str *spelling)
{
    char text[4];
    for (size_t i = 0; i < size; i++)
        MR_TRY(mr_str_append(spelling, text, (size_t)mr_utf8_encode(substitute((unsigned char)bytes[i]), text)));
    return 0;
}

int mr_unspell(const char *spelling, size_t size, struct mr_str *bytes)
{
    size_t start = bytes->size;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        int length = mr_utf8_decode(spelling + at, size - at, &c), value = length > 0 ? byte_of(c) : -1;
        char byte = (char)value;
        if (value < 0) {
            bytes->size = start;
            return mr_str_append(bytes, spelling, size);
        }
        MR_TRY(mr_str_append(bytes, &byte, 1));
        at += (size_t)length;
    }
    return 0;
}

json_t *mr_vocab_to_json(const struct mr_vocab *v)
{
    json_t *list = json_array();
    struct mr_str spelling = {0};
    int err = list ? 0 : MR_ENOMEM;
    for (size_t id = 0; id < v->size && !err; id++) {
        const char *bytes;
        size_t size;
        mr_vocab_get(v, (uint32_t)id, &bytes, &size);
        spelling.size = 0;
        err = mr_spell(bytes, size, &spelling);
        if (!err)
            err = mr_json_append(list, size ? json_stringn(spelling.text, spelling.size) : json_null());
    }
    mr_str_free(&spelling);
    if (!err)
        return list;
    json_decref(list);
    mr_fail(MR_ENOMEM, "out of memory while storing the tokenizer");
    return NULL;
}

int mr_vocab_from_json(struct mr_vocab *v, const json_t *list)
{
    struct mr_str bytes = {0};
    int err = json_array_size(list) ? 0 : mr_fail(MR_EFILE, "\"vocab\" is not a list of tokens");
    for (size_t id = 0; id < json_array_size(list) && !err; id++) {
        const json_t *token = json_array_get(list, id);
        if (json_is_null(token))
            continue;
        if (!json_is_string(token)) {
            err = mr_fail(MR_EFILE, "\"vocab\"[%zu] is neither a string nor null", id);
            break;
        }
        bytes.size = 0;
        err = mr_unspell(json_string_value(token), json_string_length(token), &bytes);
        if (!err)
            err = mr_vocab_set(v, (int64_t)id, bytes.text, bytes.size);
    }
    mr_str_free(&bytes);
    return err;
}
