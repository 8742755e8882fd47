/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the tests of tokenizers share: small vocabularies, and what holds for every tokenizer. */
#ifndef MR_UNIT_TEXT_TEST_H
#define MR_UNIT_TEXT_TEST_H

#include "unit_test.h"

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

static inline uint32_t test_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Pieces of text that are hard to cut; the second half is invalid UTF-8. */
static const char *const test_pieces[] = {"a",
                                          "b",
                                          "ab",
                                          " ",
                                          "  ",
                                          "\n",
                                          "'s",
                                          "'",
                                          "12",
                                          "!",
                                          "abab",
                                          "<|endoftext|>",
                                          "<|end",
                                          "\xC3\xA9",
                                          "e\xCC\x81",
                                          "\xE6\x97\xA5",
                                          "\xF0\x9F\x98\x80",
                                          "\xCC\x81",
                                          "\xE2\x80\x83",
                                          "\xC3",
                                          "\xE6\x97",
                                          "\xFF",
                                          "\x80",
                                          "\xF0\x9F\x98"};
enum { TEST_VALID_PIECES = 19 };

/* At least `size` bytes of them; the caller frees. */
static inline char *test_text(uint32_t seed, size_t *size, bool valid)
{
    size_t n = 0, most = valid ? TEST_VALID_PIECES : COUNT(test_pieces);
    char *text = malloc(*size + 64);
    while (n < *size) {
        const char *p = test_pieces[test_random(&seed) % most];
        memcpy(text + n, p, strlen(p));
        n += strlen(p);
    }
    *size = n;
    return text;
}

static inline mr_tokenizer *test_open(const char *kind, const char *place)
{
    char spec[600];
    mr_tokenizer *t;
    snprintf(spec, sizeof spec, "%s:%s", kind, place);
    assert_ok(mr_tokenizer_open(&t, spec));
    return t;
}

/* The bytes of all ids; the caller frees. */
static inline struct mr_str test_decode(const mr_tokenizer *t, const struct mr_ids *ids)
{
    struct mr_str text = {0};
    for (size_t i = 0; i < ids->count; i++) {
        const char *bytes;
        size_t size;
        assert_ok(mr_tokenizer_decode(t, ids->id[i], &bytes, &size));
        assert_ok(mr_str_append(&text, bytes, size));
    }
    return text;
}

/* The text gives these ids. */
static inline void expect_ids(const mr_tokenizer *t, const char *text, bool special, const uint32_t *want, size_t count)
{
    struct mr_ids ids = {0};
    assert_ok(mr_tokenizer_encode(t, text, strlen(text), special, &ids));
    if (ids.count != count || (count && memcmp(ids.id, want, count * sizeof *want)))
        fail_msg("\"%s\" gives %zu ids: %u %u %u ...; %zu are expected: %u ...", text, ids.count,
                 ids.count > 0 ? ids.id[0] : 0, ids.count > 1 ? ids.id[1] : 0, ids.count > 2 ? ids.id[2] : 0, count,
                 count ? want[0] : 0);
    mr_ids_free(&ids);
}
#define EXPECT_IDS(t, text, special, ...)                         \
    expect_ids(t, text, special, (const uint32_t[]){__VA_ARGS__}, \
               sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Decoding the text's ids gives the text. */
static inline void expect_round_trip(const mr_tokenizer *t, const char *text, size_t size)
{
    struct mr_ids ids = {0};
    assert_ok(mr_tokenizer_encode(t, text, size, false, &ids));
    struct mr_str back = test_decode(t, &ids);
    assert_int_equal(back.size, size);
    assert_memory_equal(back.text, text, size);
    mr_str_free(&back);
    mr_ids_free(&ids);
}

/* Pieces of up to `longest` bytes give the same ids as the whole, twice with one encoder. */
static inline void expect_streaming(const mr_tokenizer *t, const char *text, size_t size, bool special, size_t longest)
{
    struct mr_ids whole = {0}, parts = {0};
    mr_encoder *e;
    uint32_t seed = (uint32_t)(size + longest);
    assert_ok(mr_tokenizer_encode(t, text, size, special, &whole));
    assert_ok(mr_encoder_open(&e, t, special));
    for (int round = 0; round < 2; round++) {
        parts.count = 0;
        for (size_t at = 0; at < size;) {
            size_t n = 1 + test_random(&seed) % longest;
            n = n < size - at ? n : size - at;
            assert_ok(mr_encoder_feed(e, text + at, n, &parts));
            at += n;
        }
        assert_ok(mr_encoder_finish(e, &parts));
        if (parts.count != whole.count || memcmp(parts.id, whole.id, whole.count * sizeof *whole.id))
            fail_msg("%s: pieces of up to %zu of %zu bytes give other ids (%zu, the whole %zu)", mr_tokenizer_name(t),
                     longest, size, parts.count, whole.count);
    }
    mr_encoder_close(e);
    mr_ids_free(&whole);
    mr_ids_free(&parts);
}

/* The JSON form gives an equal tokenizer. */
static inline void expect_json_form(const mr_tokenizer *t)
{
    json_t *json = mr_tokenizer_to_json(t);
    mr_tokenizer *again;
    assert_non_null(json);
    assert_ok(mr_tokenizer_open_json(&again, json));
    assert_true(mr_tokenizer_equal(t, again));
    assert_int_equal(mr_tokenizer_end(t), mr_tokenizer_end(again));
    assert_int_equal(mr_tokenizer_vocab_size(t), mr_tokenizer_vocab_size(again));
    json_decref(json);
    mr_tokenizer_close(again);
}

/* What must hold for a tokenizer that takes any bytes (or, `valid`, any UTF-8). */
static inline void expect_good_manners(const mr_tokenizer *t, bool valid)
{
    static const size_t longest[] = {1, 7, 5000, 100000};
    size_t size = 300000;
    char *text = test_text(11, &size, valid);
    for (size_t i = 0; i < COUNT(longest); i++) {
        size_t part = longest[i] < 100 ? size / 10 : size;
        expect_streaming(t, text, part, i % 2, longest[i]);
        expect_streaming(t, text, part, !(i % 2), longest[i]);
    }
    expect_json_form(t);
    free(text);
}

/* ---- small vocabularies: the bytes, then these merges, then <|endoftext|> ------------------------------ */

static const char *const test_merges[][2] = {{"a", "b"}, {" ", "a"},       {"ab", "ab"}, {" ", "ab"},
                                             {"<", "|"}, {"\xC3", "\xA9"}, {"1", "2"}};
enum { TEST_AB = 256, TEST_SPACE_A, TEST_ABAB, TEST_SPACE_AB, TEST_LESS, TEST_E_ACUTE, TEST_12, TEST_END };

static inline struct mr_str test_spelling(const char *left, size_t left_size, const char *between, const char *right)
{
    struct mr_str s = {0};
    assert_ok(mr_spell(left, left_size, &s));
    assert_ok(mr_str_append(&s, between, strlen(between)));
    assert_ok(mr_spell(right, strlen(right), &s));
    return s;
}

/* {"Ā": 0, …} with the end token. */
static inline json_t *test_vocab(void)
{
    json_t *vocab = json_object();
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        struct mr_str s = test_spelling(&byte, 1, "", "");
        json_object_set_new(vocab, s.text, json_integer(i));
        mr_str_free(&s);
    }
    for (int i = 0; i < (int)COUNT(test_merges); i++) {
        struct mr_str s = test_spelling(test_merges[i][0], strlen(test_merges[i][0]), "", test_merges[i][1]);
        json_object_set_new(vocab, s.text, json_integer(256 + i));
        mr_str_free(&s);
    }
    json_object_set_new(vocab, MR_END_OF_TEXT, json_integer(TEST_END));
    return vocab;
}

static inline json_t *test_merge_list(void)
{
    json_t *merges = json_array();
    for (size_t i = 0; i < COUNT(test_merges); i++) {
        struct mr_str s = test_spelling(test_merges[i][0], strlen(test_merges[i][0]), " ", test_merges[i][1]);
        json_array_append_new(merges, json_string(s.text));
        mr_str_free(&s);
    }
    return merges;
}

/* Writes a file into the test folder. */
static inline const char *test_write(const char *name, const char *text)
{
    const char *path = test_path(name);
    assert_ok(mr_file_write(path, text, strlen(text)));
    return path;
}

#endif
