/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { LONGEST_SPELLING = 1 << 16 };

int mr_bpe_find_bytes(struct mr_bpe *b)
{
    for (int i = 0; i < 256; i++)
        b->byte_id[i] = -1;
    for (uint32_t id = 0; id < b->vocab.size; id++) {
        const char *bytes;
        size_t size;
        mr_vocab_get(&b->vocab, id, &bytes, &size);
        int32_t *place = &b->byte_id[(unsigned char)bytes[0]];
        if (size == 1 && *place >= 0)
            return mr_fail(MR_EFILE, "ids %d and %u both mean byte 0x%02x", *place, id, (unsigned char)bytes[0]);
        if (size == 1)
            *place = (int32_t)id;
    }
    return 0;
}

int mr_bpe_add_merge(struct mr_bpe *b, uint32_t left, uint32_t right, uint32_t merged)
{
    if (mr_pairs_get(&b->merges, mr_pair(left, right)) != MR_NO_PAIR)
        return 0;
    MR_TRY(mr_grow(&b->merge, &b->merge_capacity, b->merge_count + 1, sizeof *b->merge));
    MR_TRY(mr_pairs_set(&b->merges, mr_pair(left, right), (uint32_t)b->merge_count));
    b->merge[b->merge_count].left = left;
    b->merge[b->merge_count].right = right;
    b->merge[b->merge_count++].merged = merged;
    return 0;
}

int mr_bpe_use_whole_words(struct mr_bpe *b)
{
    b->whole_words = true;
    return mr_vocab_trie(&b->vocab, &b->words);
}

void mr_bpe_free(struct mr_bpe *b)
{
    mr_vocab_free(&b->vocab);
    mr_pairs_free(&b->merges);
    mr_trie_free(&b->words);
    free(b->merge);
}

static int read_vocab(struct mr_bpe *b, const json_t *vocab)
{
    struct mr_str bytes = {0};
    const char *spelling;
    json_t *value;
    int err = 0;
    json_object_foreach((json_t *)vocab, spelling, value) {
        bytes.size = 0;
        if (!json_is_integer(value))
            err = mr_fail(MR_EFILE, "the id of token \"%.60s\" is not an integer", spelling);
        else if (!(err = mr_unspell(spelling, strlen(spelling), &bytes)))
            err = mr_vocab_set(&b->vocab, json_integer_value(value), bytes.text, bytes.size);
        if (err)
            break;
    }
    mr_str_free(&bytes);
    return err;
}

/* The id of a spelling, or -1. */
static int64_t find(const json_t *vocab, const char *spelling)
{
    const json_t *id = json_object_get(vocab, spelling);
    return id ? (int64_t)json_integer_value(id) : -1;
}

/* Takes "LEFT RIGHT" or ["LEFT", "RIGHT"] apart; the texts are in `pair`. */
static int read_merge(const json_t *merge, struct mr_str *pair, size_t *left_size)
{
    const char *left = json_string_value(merge), *right = left ? strchr(left, ' ') : NULL;
    pair->size = 0;
    if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        if (!left || !right)
            return mr_fail(MR_EFILE, "is not a pair of strings");
        *left_size = strlen(left);
    } else {
        if (!right || right == left || !right[1] || strchr(right + 1, ' '))
            return mr_fail(MR_EFILE, "\"%.60s\" is not two tokens separated by a space", left ? left : "");
        *left_size = (size_t)(right - left);
        right++;
    }
    if (*left_size + strlen(right) > LONGEST_SPELLING)
        return mr_fail(MR_EFILE, "is longer than %d bytes", LONGEST_SPELLING);
    MR_TRY(mr_str_append(pair, left, *left_size));
    MR_TRY(mr_str_append(pair, "", 1));
    return mr_str_append(pair, right, strlen(right));
}

static int add_merge(struct mr_bpe *b, const json_t *vocab, const json_t *merge, struct mr_str *pair)
{
    size_t left_size = 0;
    MR_TRY(read_merge(merge, pair, &left_size));
    const char *right = pair->text + left_size + 1;
    int64_t left_id = find(vocab, pair->text), right_id = find(vocab, right);
    if (left_id < 0 || right_id < 0)
        return mr_fail(MR_EFILE, "token \"%.60s\" is not in the vocabulary", left_id < 0 ? pair->text : right);
    memmove(pair->text + left_size, right, strlen(right) + 1);
    int64_t merged = find(vocab, pair->text);
    if (merged < 0)
        return mr_fail(MR_EFILE, "its result \"%.60s\" is not in the vocabulary", pair->text);
    return mr_bpe_add_merge(b, (uint32_t)left_id, (uint32_t)right_id, (uint32_t)merged);
}

int mr_bpe_from_json(struct mr_bpe *b, const json_t *vocab, const json_t *merges)
{
    struct mr_str pair = {0};
    if (!json_object_size(vocab))
        return mr_fail(MR_EFILE, "the vocabulary is not an object of tokens and ids");
    if (!json_is_array(merges))
        return mr_fail(MR_EFILE, "the list of merges is missing");
    MR_TRY(read_vocab(b, vocab));
    MR_TRY(mr_bpe_find_bytes(b));
    int err = 0;
    for (size_t i = 0; i < json_array_size(merges) && !err; i++) {
        err = add_merge(b, vocab, json_array_get(merges, i), &pair);
        if (err)
            mr_fail_in(err, "merge %zu", i + 1);
    }
    mr_str_free(&pair);
    return err;
}
