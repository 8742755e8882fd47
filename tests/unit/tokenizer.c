/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizers byte and char, and what all kinds share: UTF-8, streaming, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "text/chars.h"
#include "text/tokenizer.h"
#include "base/utf8.h"

static mr_tokenizer *chars_of(const char *text)
{
    struct mr_char_set *set = calloc(1, sizeof *set);
    mr_tokenizer *t = NULL;
    assert_int_equal(mr_char_set_feed(set, text, strlen(text)), 0);
    assert_int_equal(mr_char_set_finish(set), 0);
    assert_int_equal(mr_tokenizer_from_chars(&t, set), 0);
    free(set);
    return t;
}

/* Decodes all ids and compares with the bytes. */
static void expect_text(const mr_tokenizer *t, const struct mr_ids *ids, const char *bytes, size_t size)
{
    struct mr_str text = {0};
    for (size_t i = 0; i < ids->count; i++) {
        const char *piece;
        size_t n;
        assert_int_equal(mr_tokenizer_decode(t, ids->id[i], &piece, &n), 0);
        assert_int_equal(mr_str_append(&text, piece, n), 0);
    }
    assert_int_equal(text.size, size);
    assert_memory_equal(text.text, bytes, size);
    mr_str_free(&text);
}

static void test_byte_keeps_every_byte(void **state)
{
    (void)state;
    mr_tokenizer *t;
    struct mr_ids ids = {0};
    char all[512];
    for (int i = 0; i < 512; i++)
        all[i] = (char)(i * 7);
    assert_int_equal(mr_tokenizer_open(&t, "byte"), 0);
    assert_int_equal(mr_tokenizer_vocab_size(t), 256);
    assert_int_equal(mr_tokenizer_end(t), -1);
    assert_int_equal(mr_tokenizer_encode(t, all, sizeof all, false, &ids), 0);
    assert_int_equal(ids.count, 512);
    assert_int_equal(ids.id[1], 7);
    expect_text(t, &ids, all, sizeof all);
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
}

static void test_char_sorts_by_code_point(void **state)
{
    (void)state;
    mr_tokenizer *t = chars_of("ba\xC3\xA9\n\xF0\x9F\x98\x80"
                               "a");
    struct mr_ids ids = {0};
    const char *text = "\n"
                       "ab\xC3\xA9\xF0\x9F\x98\x80";
    assert_int_equal(mr_tokenizer_vocab_size(t), 5);
    assert_int_equal(mr_tokenizer_encode(t, text, strlen(text), false, &ids), 0);
    assert_int_equal(ids.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(ids.id[i], i);
    expect_text(t, &ids, text, strlen(text));
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
}

static void test_char_names_place_of_foreign_character(void **state)
{
    (void)state;
    mr_tokenizer *t = chars_of("abc");
    struct mr_ids ids = {0};
    assert_int_equal(mr_tokenizer_encode(t, "abcXa", 5, false, &ids), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "\"X\" (U+0058) at byte 3"));
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
}

static void test_char_refuses_invalid_utf8_with_place(void **state)
{
    (void)state;
    struct mr_char_set *set = calloc(1, sizeof *set);
    assert_int_equal(mr_char_set_feed(set, "ab\xC3", 3), 0);
    assert_int_equal(mr_char_set_feed(set, "\xA9 \xFF", 3), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "byte 5 (0xff)"));
    free(set);
    set = calloc(1, sizeof *set);
    assert_int_equal(mr_char_set_feed(set, "ab\xE2\x82", 4), 0);
    assert_int_equal(mr_char_set_finish(set), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "byte 2"));
    free(set);
}

static void test_char_of_nothing_is_refused(void **state)
{
    (void)state;
    struct mr_char_set *set = calloc(1, sizeof *set);
    mr_tokenizer *t;
    assert_int_equal(mr_tokenizer_from_chars(&t, set), MR_EFILE);
    assert_null(t);
    free(set);
}

static void test_char_streams_like_whole(void **state)
{
    (void)state;
    const char *text = "z\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC";
    mr_tokenizer *t = chars_of(text);
    struct mr_ids whole = {0}, parts = {0};
    mr_encoder *e;
    assert_int_equal(mr_tokenizer_encode(t, text, strlen(text), false, &whole), 0);
    assert_int_equal(mr_encoder_open(&e, t, false), 0);
    for (size_t step = 1; step < 6; step++) {
        parts.count = 0;
        for (size_t at = 0; at < strlen(text); at += step)
            assert_int_equal(mr_encoder_feed(e, text + at, strnlen(text + at, step), &parts), 0);
        assert_int_equal(mr_encoder_finish(e, &parts), 0);
        assert_int_equal(parts.count, whole.count);
        assert_memory_equal(parts.id, whole.id, whole.count * sizeof *whole.id);
    }
    mr_encoder_close(e);
    mr_ids_free(&whole);
    mr_ids_free(&parts);
    mr_tokenizer_close(t);
}

static void test_json_form_gives_an_equal_tokenizer(void **state)
{
    (void)state;
    mr_tokenizer *t = chars_of("hello \xC3\xA9"), *again, *other = chars_of("hello");
    json_t *json = mr_tokenizer_to_json(t);
    assert_non_null(json);
    assert_int_equal(mr_tokenizer_open_json(&again, json), 0);
    assert_true(mr_tokenizer_equal(t, again));
    assert_false(mr_tokenizer_equal(t, other));
    assert_string_equal(mr_tokenizer_name(again), "char");
    json_decref(json);
    mr_tokenizer_close(t);
    mr_tokenizer_close(again);
    mr_tokenizer_close(other);
}

static void test_damaged_json_is_refused(void **state)
{
    (void)state;
    const char *damaged[] = {"{}",
                             "{\"kind\":\"morse\"}",
                             "{\"kind\":\"char\"}",
                             "{\"kind\":\"char\",\"chars\":[5,5]}",
                             "{\"kind\":\"char\",\"chars\":[1114112]}",
                             "{\"kind\":\"char\",\"chars\":[\"a\"]}",
                             "[1]"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        mr_tokenizer *t;
        json_t *json = json_loads(damaged[i], 0, NULL);
        assert_int_equal(mr_tokenizer_open_json(&t, json), MR_EFILE);
        assert_null(t);
        json_decref(json);
    }
}

static void test_unknown_kind_names_the_nearest(void **state)
{
    (void)state;
    mr_tokenizer *t;
    assert_int_equal(mr_tokenizer_open(&t, "bite"), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "did you mean byte?"));
    assert_int_equal(mr_tokenizer_open(&t, "byte:x"), MR_EINVAL);
    assert_int_equal(mr_tokenizer_open(&t, "char"), MR_EINVAL);
}

static void test_token_outside_the_vocabulary(void **state)
{
    (void)state;
    mr_tokenizer *t = chars_of("ab");
    const char *bytes;
    size_t size;
    assert_int_equal(mr_tokenizer_decode(t, 2, &bytes, &size), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "token 2"));
    mr_tokenizer_close(t);
}

static void test_utf8_is_strict(void **state)
{
    (void)state;
    uint32_t c;
    assert_int_equal(mr_utf8_decode("\xC0\x80", 2, &c), MR_UTF8_INVALID);         /* overlong */
    assert_int_equal(mr_utf8_decode("\xE0\x9F\xBF", 3, &c), MR_UTF8_INVALID);     /* overlong */
    assert_int_equal(mr_utf8_decode("\xED\xA0\x80", 3, &c), MR_UTF8_INVALID);     /* a surrogate */
    assert_int_equal(mr_utf8_decode("\xF4\x90\x80\x80", 4, &c), MR_UTF8_INVALID); /* U+110000 */
    assert_int_equal(mr_utf8_decode("\xE0\x9F", 2, &c), MR_UTF8_INVALID);         /* cannot become one */
    assert_int_equal(mr_utf8_decode("\xE2\x82", 2, &c), MR_UTF8_CUT);
    assert_int_equal(mr_utf8_valid("ab\xE2\x82\xAC\xFFz", 7), 5);
}

static void test_utf8_round_trip_of_all_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        char bytes[4];
        uint32_t back = 0;
        if (c >= 0xD800 && c < 0xE000)
            continue;
        int size = mr_utf8_encode(c, bytes);
        if (mr_utf8_decode(bytes, (size_t)size, &back) != size || back != c)
            fail_msg("U+%04X comes back as U+%04X", c, back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_keeps_every_byte),
        cmocka_unit_test(test_char_sorts_by_code_point),
        cmocka_unit_test(test_char_names_place_of_foreign_character),
        cmocka_unit_test(test_char_refuses_invalid_utf8_with_place),
        cmocka_unit_test(test_char_of_nothing_is_refused),
        cmocka_unit_test(test_char_streams_like_whole),
        cmocka_unit_test(test_json_form_gives_an_equal_tokenizer),
        cmocka_unit_test(test_damaged_json_is_refused),
        cmocka_unit_test(test_unknown_kind_names_the_nearest),
        cmocka_unit_test(test_token_outside_the_vocabulary),
        cmocka_unit_test(test_utf8_is_strict),
        cmocka_unit_test(test_utf8_round_trip_of_all_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
