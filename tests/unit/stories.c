/* SPDX-License-Identifier: GPL-3.0-or-later
 * The stories: deterministic, different, well formed; and what a wrong grammar gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "data/stories.h"

enum { STORIES = 3000 };
static const char end_line[] = "\n<|endoftext|>\n";

static void tell(struct mr_str *text, uint64_t seed, int from, int count)
{
    mr_stories *s;
    assert_int_equal(mr_stories_open(&s, seed), 0);
    for (int i = 0; i < count; i++)
        if (mr_stories_tell(s, (uint64_t)(from + i), text) < 0)
            fail_msg("seed %llu, story %d: %s", (unsigned long long)seed, from + i, mr_error_text());
    mr_stories_close(s);
}

static void test_same_seed_same_stories(void **state)
{
    (void)state;
    struct mr_str a = {0}, b = {0}, c = {0};
    tell(&a, 7, 0, 50);
    tell(&b, 7, 0, 50);
    tell(&c, 8, 0, 50);
    assert_string_equal(a.text, b.text);
    assert_string_not_equal(a.text, c.text);
    mr_str_free(&a);
    mr_str_free(&b);
    mr_str_free(&c);
}

static void test_a_story_depends_on_its_index_only(void **state)
{
    (void)state;
    struct mr_str all = {0}, one = {0};
    tell(&all, 3, 0, 20);
    tell(&one, 3, 19, 1);
    assert_string_equal(all.text + all.size - one.size, one.text);
    mr_str_free(&all);
    mr_str_free(&one);
}

/* The stories of one seed without their end lines; free text[0]'s block with mr_str_free(all). */
static int split(struct mr_str *all, char *stories[STORIES])
{
    int count = 0;
    tell(all, 1, 0, STORIES);
    for (char *at = all->text; *at && count < STORIES; count++) {
        char *end = strstr(at, end_line);
        assert_non_null(end);
        *end = 0;
        stories[count] = at;
        at = end + strlen(end_line);
    }
    return count;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_thousands_of_different_ones(void **state)
{
    (void)state;
    static char *stories[STORIES];
    struct mr_str all = {0};
    int different = 1;
    assert_int_equal(split(&all, stories), STORIES);
    qsort(stories, STORIES, sizeof *stories, by_text);
    for (int i = 1; i < STORIES; i++)
        different += strcmp(stories[i], stories[i - 1]) != 0;
    assert_true(different > STORIES - 3);
    mr_str_free(&all);
}

static int word_count(const char *text)
{
    int words = 0;
    for (; *text; text++)
        words += (*text == ' ' || *text == '\n');
    return words + 1;
}

static void test_length_and_ascii(void **state)
{
    (void)state;
    static char *stories[STORIES];
    struct mr_str all = {0};
    split(&all, stories);
    for (int i = 0; i < STORIES; i++) {
        int words = word_count(stories[i]);
        if (words < 60 || words > 180)
            fail_msg("%d words: %s", words, stories[i]);
        for (const char *c = stories[i]; *c; c++)
            if (*c != '\n' && (*c < ' ' || *c > '~'))
                fail_msg("byte %d in: %s", *c, stories[i]);
    }
    mr_str_free(&all);
}

static void test_spelling(void **state)
{
    (void)state;
    static const char *const wrong[] = {"  ",   " \n", "\n ", "\n\n", " .", " ,", " a a", " a e", " a i",       " a o",
                                        " a u", "{",   "}",   "[",    "]",  "|",  "/",    "(",    ".\" said. ", ".. "};
    static char *stories[STORIES];
    struct mr_str all = {0};
    split(&all, stories);
    for (int i = 0; i < STORIES; i++)
        for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++)
            if (strstr(stories[i], wrong[k]))
                fail_msg("\"%s\" in: %s", wrong[k], stories[i]);
    mr_str_free(&all);
}

static void test_sentences_begin_with_capitals(void **state)
{
    (void)state;
    static char *stories[STORIES];
    struct mr_str all = {0};
    split(&all, stories);
    for (int i = 0; i < STORIES; i++)
        for (const char *c = stories[i]; *c; c++)
            if (c[0] == '.' && c[1] == ' ' && c[2] >= 'a' && c[2] <= 'z')
                fail_msg("a small letter begins a sentence: %s", stories[i]);
    mr_str_free(&all);
}

static void test_quotes_are_closed(void **state)
{
    (void)state;
    static char *stories[STORIES];
    struct mr_str all = {0};
    split(&all, stories);
    for (int i = 0; i < STORIES; i++) {
        int quotes = 0;
        for (const char *c = stories[i];; c++) {
            quotes += *c == '"';
            if ((!*c || *c == '\n') && quotes % 2)
                fail_msg("an open quotation: %s", stories[i]);
            if (!*c)
                break;
        }
    }
    mr_str_free(&all);
}

static int by_word(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_vocabulary_is_small(void **state)
{
    (void)state;
    static char words[4000000 / 4][16];
    struct mr_str all = {0};
    size_t count = 0;
    tell(&all, 1, 0, 1500);
    for (char *word = strtok(all.text, " \n.,!?\"'<>|"); word; word = strtok(NULL, " \n.,!?\"'<>|")) {
        *word |= 0x20;
        snprintf(words[count++], sizeof words[0], "%.15s", word);
    }
    qsort(words, count, sizeof words[0], by_word);
    int different = 1;
    for (size_t i = 1; i < count; i++)
        different += strcmp(words[i], words[i - 1]) != 0;
    assert_true(different > 300 && different < 650);
    mr_str_free(&all);
}

static void test_own_grammar(void **state)
{
    (void)state;
    static const char grammar[] = "table name: name he\nAda | she\nBob | he\n\n"
                                  "rule greet\n{1} met {2}. {^1.he} waved.\n\n"
                                  "story s\nlet a = name\nlet b = name\n{greet a b}\n/ A(n) [owl] saw a(n) {name.he}\n";
    mr_stories *s;
    struct mr_str text = {0};
    assert_int_equal(mr_stories_open_grammar(&s, grammar, 0), 0);
    assert_int_equal(mr_stories_tell(s, 0, &text), MR_EFILE); /* name is a table, not a variable */
    assert_non_null(strstr(mr_error_text(), "\"name.he\""));
    mr_stories_close(s);
    mr_str_free(&text);
}

static void test_wrong_grammars_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"tabel x: y\n", "line 1"},
        {"# only a comment\n", "without a story"},
        {"table x: a b\none\n\nstory s\nhello\n", "line 2"},
        {"table x: a\none | two\n\nstory s\nhello\n", "line 2"},
        {"story s\nlet a = nothing\nhello\n", "no such table: \"nothing\""},
        {"table x: a\none\n\nstory s\nlet v = x where b=one\nhello\n", "no such field: \"b\""},
        {"rule r\n\nstory s\nhello\n", "without a choice"},
        {"story s\n\n", "without a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mr_stories *s;
        assert_int_equal(mr_stories_open_grammar(&s, cases[i].text, 0), MR_EFILE);
        if (!strstr(mr_error_text(), cases[i].message))
            fail_msg("case %zu: %s", i, mr_error_text());
    }
}

static void test_endless_rules_are_refused(void **state)
{
    (void)state;
    mr_stories *s;
    struct mr_str text = {0};
    assert_int_equal(mr_stories_open_grammar(&s, "rule r\n{r}\n\nstory s\n{r}\n", 0), 0);
    assert_int_equal(mr_stories_tell(s, 0, &text), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "leads to itself"));
    mr_stories_close(s);
    mr_str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_stories),
        cmocka_unit_test(test_a_story_depends_on_its_index_only),
        cmocka_unit_test(test_thousands_of_different_ones),
        cmocka_unit_test(test_length_and_ascii),
        cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_sentences_begin_with_capitals),
        cmocka_unit_test(test_quotes_are_closed),
        cmocka_unit_test(test_vocabulary_is_small),
        cmocka_unit_test(test_own_grammar),
        cmocka_unit_test(test_wrong_grammars_name_the_line),
        cmocka_unit_test(test_endless_rules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
