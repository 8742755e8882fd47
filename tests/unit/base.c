/* SPDX-License-Identifier: GPL-3.0-or-later
 * Threads, JSON getters and the progress line. */
#include "unit_test.h"

#include <math.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "base/threads.h"
#include "base/utf8.h"

static int count_call(void *context, size_t i)
{
    atomic_int *calls = context;
    atomic_fetch_add(&calls[i], 1);
    return 0;
}

static void test_parallel_for_calls_each_index_once(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n = n * 2 + 1) {
        atomic_int calls[300] = {0};
        assert_ok(mr_parallel_for(n, count_call, calls));
        for (size_t i = 0; i < 300; i++)
            assert_int_equal(calls[i], i < n);
    }
    assert_true(mr_cores() >= 1);
}

static int fail_some(void *context, size_t i)
{
    (void)context;
    return i == 7 ? mr_fail(MR_EFILE, "item %zu", i) : 0;
}

static void test_parallel_for_hands_the_error_to_the_caller(void **state)
{
    (void)state;
    assert_fails(MR_EFILE, "item 7", mr_parallel_for(100, fail_some, NULL));
}

static json_t *parse(const char *text)
{
    json_t *json;
    assert_ok(mr_json_parse(&json, text, strlen(text), "test"));
    return json;
}

static void test_json_errors_name_the_place(void **state)
{
    (void)state;
    json_t *json;
    assert_fails(MR_EFILE, "x.json is not valid JSON: line 2, column", mr_json_parse(&json, "{\n1}", 4, "x.json"));
    assert_fails(MR_EFILE, "duplicate", mr_json_parse(&json, "{\"a\":1,\"a\":2}", 13, "x.json"));
    assert_fails(MR_EFILE, "x.json", mr_json_parse(&json, "", 0, "x.json"));
}

static int allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* Whichever allocation of jansson fails, it is memory that is told of, not the file. */
static void test_json_out_of_memory_is_told_as_such(void **state)
{
    (void)state;
    const char text[] = "{\"a\": [1, 2.5, \"long enough for an allocation of its own\", null], \"b\": {\"c\": true}}";
    json_t *json = NULL;
    int err = MR_ENOMEM, n = 0;
    json_set_alloc_funcs(failing_malloc, free);
    for (; n < 1000 && err == MR_ENOMEM; n++) {
        allocations_left = n;
        err = mr_json_parse(&json, text, sizeof text - 1, "x.json");
        if (err < 0 && !strstr(mr_error_text(), "x.json: out of memory"))
            break;
    }
    json_set_alloc_funcs(malloc, free);
    if (err < 0)
        fail_msg("allocation %d failed: error %d: %s", n, err, mr_error_text());
    assert_true(n > 10);
    json_decref(json);
}

static void test_json_of_other_programs_is_read(void **state)
{
    (void)state;
    json_t *json = parse("\xef\xbb\xbf{\"big\": 1000000000000000019884624838656, \"n\": [NaN, -Infinity, 1e999, -7], "
                         "\"s\": \"x\\ud83d NaN 12345678901234567890 \\ud83d\\ude00\"}");
    json_t *list = json_object_get(json, "n");
    assert_true(json_real_value(json_object_get(json, "big")) > 0.9e30);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "nan");
    assert_string_equal(json_string_value(json_array_get(list, 1)), "-inf");
    assert_string_equal(json_string_value(json_array_get(list, 2)), "inf");
    assert_int_equal(json_integer_value(json_array_get(list, 3)), -7);
    assert_string_equal(json_string_value(json_object_get(json, "s")),
                        "x\xef\xbf\xbd NaN 12345678901234567890 \xf0\x9f\x98\x80");
    json_decref(json);
}

static void test_json_files_that_are_something_else_are_named(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 7\n", "Git LFS pointer"},
        {"\n<!DOCTYPE html>\n<html><body>404</body></html>", "HTML page"},
        {"PK\3\4....", "zip archive"},
        {"\x1f\x8b\x08....", "gzip file"},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        json_t *json;
        const char *path = test_path("config.json");
        assert_ok(mr_file_write(path, files[i][0], strlen(files[i][0])));
        assert_fails(MR_EFILE, files[i][1], mr_json_load(&json, path));
    }
}

static void test_invalid_utf8_is_replaced(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"a\xc3\xa4z", "a\xc3\xa4z"},
        {"\xff\xfe!", "\xef\xbf\xbd\xef\xbf\xbd!"},
        {"\xed\x95\x88\xeb\x85", "\xed\x95\x88\xef\xbf\xbd"},                               /* cut */
        {"\xf0\x9f\x98x\xed\xa0\x80", "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
    };
    static const uint64_t counts[] = {0, 2, 1, 4};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct mr_str text = {0};
        uint64_t replaced = 0;
        assert_ok(mr_utf8_repair(texts[i][0], strlen(texts[i][0]), &text, &replaced));
        assert_string_equal(text.text, texts[i][1]);
        assert_int_equal(replaced, counts[i]);
        mr_str_free(&text);
    }
}

static void test_json_getters_check_type_and_range(void **state)
{
    (void)state;
    json_t *json =
        parse("{\"n\":12,\"whole\":64.0,\"x\":0.5,\"s\":\"text\",\"b\":true,\"null\":null,\"o\":{},\"a\":[1]}");
    int64_t n;
    double x;
    bool b;
    const char *s;
    json_t *part;
    assert_ok(mr_json_int(json, "n", 0, 12, &n));
    assert_int_equal(n, 12);
    assert_ok(mr_json_int(json, "whole", 0, 100, &n));
    assert_int_equal(n, 64);
    assert_fails(MR_EFILE, "\"n\" must be an integer from 0 to 11, not 12", mr_json_int(json, "n", 0, 11, &n));
    assert_fails(MR_EFILE, "\"x\" must be an integer", mr_json_int(json, "x", INT64_MIN, INT64_MAX, &n));
    assert_fails(MR_EFILE, "\"none\" is missing", mr_json_int(json, "none", 0, 1, &n));
    assert_fails(MR_EFILE, "\"null\" is missing", mr_json_int(json, "null", 0, 1, &n));
    assert_ok(mr_json_int_or(json, "null", 0, 1, 77, &n));
    assert_int_equal(n, 77);
    assert_fails(MR_EFILE, "must be", mr_json_int_or(json, "s", 0, 1, 77, &n));
    assert_ok(mr_json_number(json, "n", &x));
    assert_true(x == 12);
    assert_ok(mr_json_number_or(json, "none", 2.5, &x));
    assert_true(x == 2.5);
    assert_fails(MR_EFILE, "\"s\" must be a number, not \"text\"", mr_json_number(json, "s", &x));
    assert_ok(mr_json_bool(json, "b", &b));
    assert_true(b);
    assert_ok(mr_json_bool_or(json, "none", false, &b));
    assert_false(b);
    assert_fails(MR_EFILE, "true or false", mr_json_bool(json, "n", &b));
    assert_ok(mr_json_string(json, "s", &s));
    assert_string_equal(s, "text");
    assert_ok(mr_json_string_or(json, "none", "other", &s));
    assert_string_equal(s, "other");
    assert_fails(MR_EFILE, "a text", mr_json_string(json, "n", &s));
    assert_ok(mr_json_object(json, "o", &part));
    assert_ok(mr_json_array(json, "a", &part));
    assert_fails(MR_EFILE, "an object", mr_json_object(json, "a", &part));
    assert_fails(MR_EFILE, "an array", mr_json_array(json, "o", &part));
    json_decref(json);
}

static void test_json_keeps_numbers_that_json_has_not(void **state)
{
    (void)state;
    json_t *json = json_object();
    double x;
    assert_ok(mr_json_set(json, "inf", mr_json_real(INFINITY)));
    assert_ok(mr_json_set(json, "low", mr_json_real(-INFINITY)));
    assert_ok(mr_json_set(json, "nan", mr_json_real(NAN)));
    assert_ok(mr_json_set(json, "third", mr_json_real(1.0 / 3)));
    assert_ok(mr_json_save(json, test_path("a.json")));
    json_decref(json);
    assert_ok(mr_json_load(&json, test_path("a.json")));
    assert_ok(mr_json_number(json, "inf", &x));
    assert_true(isinf(x) && x > 0);
    assert_ok(mr_json_number(json, "low", &x));
    assert_true(isinf(x) && x < 0);
    assert_ok(mr_json_number(json, "nan", &x));
    assert_true(isnan(x));
    assert_ok(mr_json_number(json, "third", &x));
    assert_true(x == 1.0 / 3);
    json_decref(json);
}

static void test_json_for_others_says_null_for_what_is_not_finite(void **state)
{
    (void)state;
    json_t *values = json_pack("[o o o]", mr_json_finite(NAN), mr_json_finite(-INFINITY), mr_json_finite(0.5));
    assert_non_null(values);
    char *text = mr_json_text(values);
    assert_string_equal(text, "[null,null,0.5]");
    free(text);
    json_decref(values);
}

static void test_an_error_kept_outlives_later_ones(void **state)
{
    (void)state;
    struct mr_error_kept kept;
    mr_fail(MR_ENUMERIC, "the first");
    mr_error_keep(&kept);
    mr_fail(MR_EFILE, "a later one");
    mr_error_restore(&kept);
    assert_string_equal(mr_error_text(), "the first");
}

static void test_progress_line_fits_its_width(void **state)
{
    (void)state;
    char line[300];
    mr_progress_line(line, sizeof line, 79, "packing", 50, 100, 10, "12 MB/s");
    assert_string_equal(line, "packing [===============>              ]  50%  12 MB/s  10 s left");
    mr_progress_line(line, sizeof line, 20, "packing", 100, 100, 10, NULL);
    assert_int_equal(strlen(line), 20);
    mr_progress_line(line, sizeof line, 79, "reading", 5, 0, 75, "5 files");
    assert_string_equal(line, "reading  5 files  1:15");
    mr_progress_line(line, sizeof line, 79, "x", 300, 100, 1, "");
    assert_non_null(strstr(line, "100%"));
}

static void test_progress_is_silent_where_there_is_no_terminal(void **state)
{
    (void)state;
    FILE *f = fopen(test_path("log"), "w+");
    struct mr_progress p;
    mr_progress_begin(&p, f, "x", 10);
    for (int i = 0; i <= 10; i++)
        mr_progress_update(&p, (uint64_t)i, "note %d", i);
    mr_progress_end(&p);
    assert_int_equal(ftell(f), 0);
    fclose(f);
}

static void test_sizes_and_times_for_people(void **state)
{
    (void)state;
    char t[24];
    assert_string_equal(mr_format_bytes(t, 1023), "1023 B");
    assert_string_equal(mr_format_bytes(t, 1536), "1.5 KiB");
    assert_string_equal(mr_format_bytes(t, (uint64_t)1 << 30), "1.0 GiB");
    assert_string_equal(mr_format_bytes(t, UINT64_MAX), "16.0 EiB");
    assert_string_equal(mr_format_seconds(t, 3.14), "3.1 s");
    assert_string_equal(mr_format_seconds(t, 187), "3:07");
    assert_string_equal(mr_format_seconds(t, 3723), "1:02:03");
    assert_string_equal(mr_format_seconds(t, 183600), "2 d 3 h");
    assert_string_equal(mr_format_seconds(t, NAN), "forever");
}

static void test_suggested_commands_quote_odd_paths(void **state)
{
    (void)state;
    static const char *const paths[][2] = {
        {"out/a-1.b", "out/a-1.b"}, {"my out", "'my out'"}, {"it's", "'it'\\''s'"}, {"", "''"}, {"a;b", "'a;b'"}};
    char room[32];
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_string_equal(mr_shell_word(paths[i][0], room, sizeof room), paths[i][1]);
    for (int i = 0; i < 100; i++) {
        char path[101] = "";
        memset(path, i % 2 ? '\'' : ' ', (size_t)i);
        assert_true(strlen(mr_shell_word(path, room, sizeof room)) < sizeof room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel_for_calls_each_index_once),
        cmocka_unit_test(test_parallel_for_hands_the_error_to_the_caller),
        cmocka_unit_test(test_json_errors_name_the_place),
        cmocka_unit_test(test_json_out_of_memory_is_told_as_such),
        cmocka_unit_test(test_json_of_other_programs_is_read),
        cmocka_unit_test(test_json_files_that_are_something_else_are_named),
        cmocka_unit_test(test_invalid_utf8_is_replaced),
        cmocka_unit_test(test_json_getters_check_type_and_range),
        cmocka_unit_test(test_json_keeps_numbers_that_json_has_not),
        cmocka_unit_test(test_json_for_others_says_null_for_what_is_not_finite),
        cmocka_unit_test(test_an_error_kept_outlives_later_ones),
        cmocka_unit_test(test_progress_line_fits_its_width),
        cmocka_unit_test(test_progress_is_silent_where_there_is_no_terminal),
        cmocka_unit_test(test_suggested_commands_quote_odd_paths),
        cmocka_unit_test(test_sizes_and_times_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
