/* SPDX-License-Identifier: GPL-3.0-or-later
 * Command lines, and what someone probably meant. The parser belongs to the program, which is no library:
 * its source is compiled in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/options.c"

static bool flag;
static const char *text;
static int64_t number;
static uint64_t seed;
static double fraction;
static struct mr_words list, words;

static const struct mr_option table[] = {
    {"json", MR_OPTION_FLAG, &flag, NULL, "print JSON"},
    {"out", MR_OPTION_TEXT, &text, "DIR", "where to"},
    {"max-tokens", MR_OPTION_INT, &number, "N", "how many"},
    {"seed", MR_OPTION_SEED, &seed, "S", "seed"},
    {"val-fraction", MR_OPTION_FLOAT, &fraction, "X", "share"},
    {"config", MR_OPTION_LIST, &list, "KEY=VALUE", "several"},
};

static struct mr_syntax syntax = {
    .name = "prepare", .words = "INPUT...", .options = table, .option_count = MR_COUNT(table), .max_words = 3};

static int parse(const char *const *args, int count)
{
    const char *argv[16] = {"prepare"};
    mr_words_free(&words);
    mr_words_free(&list);
    flag = false;
    text = NULL;
    number = 200;
    memcpy(argv + 1, args, (size_t)count * sizeof *args);
    return mr_options_parse(&syntax, count + 1, (char **)argv, &words);
}
#define PARSE(...) parse((const char *[]){__VA_ARGS__}, (int)MR_COUNT(((const char *[]){__VA_ARGS__})))

static void test_values_of_every_kind(void **state)
{
    (void)state;
    assert_int_equal(PARSE("a", "--json", "--out", "d", "--max_tokens=7", "--seed", "18446744073709551615",
                           "--val-fraction=0.25", "b"),
                     0);
    assert_true(flag);
    assert_string_equal(text, "d");
    assert_int_equal(number, 7);
    assert_true(seed == UINT64_MAX);
    assert_true(fraction == 0.25);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.word[1], "b");
}

static void test_absent_options_keep_their_defaults(void **state)
{
    (void)state;
    assert_int_equal(PARSE("a"), 0);
    assert_int_equal(number, 200);
    assert_false(flag);
}

static void test_lists_collect(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--config", "a=1", "--config=b=2"), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.word[1], "b=2");
}

static void test_a_dash_is_a_word_and_two_end_the_options(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-", "--", "--json"), 0);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.word[1], "--json");
    assert_false(flag);
}

static void test_unknown_option_names_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--max-token", "3"), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "--max-token:"));
    assert_non_null(strstr(mr_error_text(), "did you mean --max-tokens?"));
}

static void test_wrong_values_are_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--max-tokens", "many"), MR_EINVAL);
    assert_int_equal(PARSE("--max-tokens="), MR_EINVAL);
    assert_int_equal(PARSE("--seed", "-1"), MR_EINVAL);
    assert_int_equal(PARSE("--val-fraction", "nan"), MR_EINVAL);
    assert_int_equal(PARSE("--json=yes"), MR_EINVAL);
    assert_int_equal(PARSE("--out"), MR_EINVAL);
    assert_int_equal(PARSE("-x"), MR_EINVAL);
}

static void test_too_many_or_too_few_words(void **state)
{
    (void)state;
    syntax.min_words = 1;
    assert_int_equal(PARSE("--json"), MR_EINVAL);
    syntax.min_words = 0;
    assert_int_equal(PARSE("a", "b", "c", "d"), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "\"d\""));
}

static void test_key_values_become_words(void **state)
{
    (void)state;
    syntax.key_values = true;
    assert_int_equal(PARSE("--n_layer=3", "out_dir=x"), 0);
    syntax.key_values = false;
    assert_int_equal(words.count, 2);
    assert_string_equal(words.word[0], "n_layer=3");
}

static void test_exit_status_of_each_error(void **state)
{
    (void)state;
    assert_int_equal(mr_exit_status(MR_HELP_SHOWN), 0);
    assert_int_equal(mr_exit_status(MR_EINVAL), 2);
    assert_int_equal(mr_exit_status(MR_EFILE), 1);
    assert_int_equal(mr_exit_status(MR_ENODEV), 77);
    assert_int_equal(mr_exit_status(MR_EINTERRUPTED), 130);
}

static void test_edit_distance(void **state)
{
    (void)state;
    assert_int_equal(mr_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(mr_edit_distance("n_haed", "n_head"), 1);
    assert_int_equal(mr_edit_distance("max-iters", "max_iters"), 0);
    assert_int_equal(mr_edit_distance("", "abc"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_kind),
        cmocka_unit_test(test_absent_options_keep_their_defaults),
        cmocka_unit_test(test_lists_collect),
        cmocka_unit_test(test_a_dash_is_a_word_and_two_end_the_options),
        cmocka_unit_test(test_unknown_option_names_the_nearest),
        cmocka_unit_test(test_wrong_values_are_refused),
        cmocka_unit_test(test_too_many_or_too_few_words),
        cmocka_unit_test(test_key_values_become_words),
        cmocka_unit_test(test_exit_status_of_each_error),
        cmocka_unit_test(test_edit_distance),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mr_words_free(&words);
    mr_words_free(&list);
    return failed;
}
