/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/chars.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "text/tokenizer_kind.h"
#include "base/utf8.h"

enum { CODE_POINTS = 0x110000, ABSENT = -1 };

struct chars {
    size_t limit; /* one more than the largest code point */
    int32_t *id;  /* [limit], ABSENT where there is none */
    struct {
        char bytes[4];
        uint32_t size, code_point;
    } * token; /* [vocab_size] */
};

static int invalid_at(uint64_t position, unsigned char byte)
{
    return mr_fail(MR_EFILE, "invalid UTF-8 at byte %llu (0x%02x): the char tokenizer needs UTF-8, byte takes anything",
                   (unsigned long long)position, byte);
}

int mr_char_set_feed(struct mr_char_set *set, const char *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint32_t c;
        int length;
        if (set->cut_size) { /* complete it byte by byte */
            set->cut[set->cut_size++] = bytes[at++];
            length = mr_utf8_decode(set->cut, set->cut_size, &c);
            if (length > 0)
                set->cut_size = 0;
        } else {
            length = mr_utf8_decode(bytes + at, size - at, &c);
            if (length > 0)
                at += (size_t)length;
        }
        if (length < 0)
            return invalid_at(set->position, (unsigned char)(set->cut_size ? set->cut[0] : bytes[at]));
        if (length == MR_UTF8_CUT) {
            if (!set->cut_size) {
                set->cut_size = size - at;
                memcpy(set->cut, bytes + at, size - at);
                return 0;
            }
            continue;
        }
        set->position += (uint64_t)length;
        set->seen[c / 64] |= (uint64_t)1 << c % 64;
    }
    return 0;
}

int mr_char_set_finish(struct mr_char_set *set)
{
    int err = set->cut_size ? invalid_at(set->position, (unsigned char)set->cut[0]) : 0;
    set->cut_size = 0;
    set->position = 0;
    return err;
}

/* The tokens 0, 1, … are these characters; `list` has room for all there are. */
static int build(mr_tokenizer *t, const uint32_t *list, size_t count)
{
    struct chars *chars = t->data = mr_alloc(1, sizeof *chars);
    if (!chars)
        return MR_ENOMEM;
    if (!count)
        return mr_fail(MR_EFILE, "an empty text has no characters to make tokens of");
    for (size_t i = 0; i < count; i++)
        chars->limit = list[i] >= chars->limit ? list[i] + 1 : chars->limit;
    chars->id = mr_alloc(chars->limit, sizeof *chars->id);
    chars->token = mr_alloc(count, sizeof *chars->token);
    if (!chars->id || !chars->token)
        return MR_ENOMEM;
    for (size_t c = 0; c < chars->limit; c++)
        chars->id[c] = ABSENT;
    for (; t->vocab_size < count; t->vocab_size++) {
        uint32_t c = list[t->vocab_size];
        if (chars->id[c] != ABSENT)
            return mr_fail(MR_EFILE, "tokens %d and %zu are both U+%04X", chars->id[c], t->vocab_size, c);
        chars->token[t->vocab_size].size = (uint32_t)mr_utf8_encode(c, chars->token[t->vocab_size].bytes);
        chars->token[t->vocab_size].code_point = c;
        chars->id[c] = (int32_t)t->vocab_size;
    }
    return 0;
}

static int build_from_set(mr_tokenizer *t, const struct mr_char_set *set)
{
    uint32_t *list = mr_alloc(CODE_POINTS, sizeof *list);
    size_t count = 0;
    if (!list)
        return MR_ENOMEM;
    for (uint32_t c = 0; c < CODE_POINTS; c++)
        if (set->seen[c / 64] >> c % 64 & 1)
            list[count++] = c;
    int err = build(t, list, count);
    free(list);
    return err;
}

static int char_load(mr_tokenizer *t, const json_t *json)
{
    const json_t *chars = json_object_get(json, "chars");
    size_t count = json_array_size(chars);
    uint32_t *list = mr_alloc(count, sizeof *list);
    int err = list ? 0 : MR_ENOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        json_int_t c = json_is_integer(json_array_get(chars, i)) ? json_integer_value(json_array_get(chars, i)) : -1;
        if (c < 0 || c >= CODE_POINTS || (c >= 0xD800 && c < 0xE000))
            err = mr_fail(MR_EFILE, "\"chars\"[%zu] is not a code point", i);
        else
            list[i] = (uint32_t)c;
    }
    if (!err)
        err = build(t, list, count);
    free(list);
    return err;
}

static int char_save(const mr_tokenizer *t, json_t *json)
{
    const struct chars *chars = t->data;
    json_t *list = json_array();
    int err = list ? 0 : -1;
    for (size_t i = 0; i < t->vocab_size && !err; i++)
        err = json_array_append_new(list, json_integer(chars->token[i].code_point));
    if (err || json_object_set(json, "chars", list))
        err = mr_fail(MR_ENOMEM, "out of memory while storing the tokenizer");
    json_decref(list);
    return err;
}

static void char_close(mr_tokenizer *t)
{
    struct chars *chars = t->data;
    if (!chars)
        return;
    free(chars->id);
    free(chars->token);
    free(chars);
}

static int char_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    const struct chars *chars = e->tokenizer->data;
    size_t at = 0;
    while (at < size) {
        uint32_t c;
        int length = mr_utf8_decode(bytes + at, size - at, &c);
        if (length == MR_UTF8_CUT && more)
            break;
        if (length <= 0)
            return invalid_at(e->position + at, (unsigned char)bytes[at]);
        if (c >= chars->limit || chars->id[c] == ABSENT)
            return mr_fail(
                MR_EFILE,
                "character \"%.*s\" (U+%04X) at byte %llu is not one of the %zu that the char tokenizer knows",
                c < 32 ? 0 : length, bytes + at, c, (unsigned long long)(e->position + at), e->tokenizer->vocab_size);
        MR_TRY(mr_ids_append(ids, (uint32_t)chars->id[c]));
        at += (size_t)length;
    }
    *used = at;
    return 0;
}

static void char_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    const struct chars *chars = t->data;
    *bytes = chars->token[id].bytes;
    *size = chars->token[id].size;
}

const struct mr_tokenizer_kind mr_tokenizer_char = {
    .name = "char",
    .load = char_load,
    .save = char_save,
    .close = char_close,
    .encode = char_encode,
    .decode = char_decode,
};

int mr_tokenizer_from_chars(mr_tokenizer **out, const struct mr_char_set *set)
{
    mr_tokenizer *t = mr_alloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return MR_ENOMEM;
    t->kind = &mr_tokenizer_char;
    t->end = -1;
    int err = build_from_set(t, set);
    if (err < 0) {
        mr_tokenizer_close(t);
        return err;
    }
    *out = t;
    return 0;
}
