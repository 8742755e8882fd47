/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parts that tokenizers are made of: words, sets of strings, spellings, Python's literals. */
#include "unit_test.h"

#include "text/python_literal.h"
#include "text/trie.h"
#include "text/vocab.h"
#include "text/words.h"

/* The words of the text with | between. */
static const char *words_of(const char *text)
{
    static char out[512];
    size_t size = strlen(text), n = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = mr_word(text + at, size - at, false);
        assert_true(length > 0 && length <= size - at);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", at ? "|" : "", (int)length, text + at);
    }
    return out;
}

static void test_words_as_gpt2_cuts_them(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"Hello, world!", "Hello|,| world|!"},
        {"  two  spaces ", " | two| | spaces| "},
        {"don't we'll they've I'm you'd it's we're", "don|'t| we|'ll| they|'ve| I|'m| you|'d| it|'s| we|'re"},
        {"'SHOUT' CAN'T", "'|SHOUT|'| CAN|'|T"},
        {"abc123 4.5", "abc|123| 4|.|5"},
        {"a\n\n b\r\n", "a|\n\n| b|\r\n"},
        {"\t\tx", "\t|\t|x"},
        {"na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC\xE3\x80\x82", "na\xC3\xAFve| \xE6\x97\xA5\xE6\x9C\xAC|\xE3\x80\x82"},
        {"a\xC2\xA0\xC2\xA0z", "a|\xC2\xA0|\xC2\xA0|z"},
        {"x \xE2\x80\x83 y", "x| \xE2\x80\x83| y"},
        {"\xC2\xBD\xE2\x85\xA7", "\xC2\xBD\xE2\x85\xA7"},
        {"e\xCC\x81", "e|\xCC\x81"},
        {"a\xFF\xFE!b", "a|\xFF\xFE!|b"},
        {"'", "'"},
        {" '", " '"},
        {"'l", "'|l"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(words_of(cases[i][0]), cases[i][1]);
}

/* Text of tricky pieces. */
static size_t tricky(char *out, size_t room)
{
    static const char *const pieces[] = {" ",
                                         "  ",
                                         "\n",
                                         "a",
                                         "the",
                                         "'",
                                         "'s",
                                         "'ll",
                                         "12",
                                         "!",
                                         "\xC3\xA9",
                                         "\xE2\x80\x83",
                                         "\xE6\x97\xA5",
                                         "\xF0\x9F\x98\x80",
                                         "\xC3",
                                         "\xE2\x80",
                                         "\xF0\x9F",
                                         "\xFF"};
    static uint32_t seed = 7;
    size_t n = 0;
    for (;;) {
        seed = seed * 1664525u + 1013904223u;
        const char *p = pieces[(seed >> 16) % COUNT(pieces)];
        if (n + strlen(p) > room)
            return n;
        memcpy(out + n, p, strlen(p));
        n += strlen(p);
    }
}

static void test_words_that_are_certain_stay_when_more_comes(void **state)
{
    (void)state;
    char text[48];
    for (int round = 0; round < 3000; round++) {
        size_t size = tricky(text, sizeof text), whole = mr_word(text, size, false);
        for (size_t cut = 1; cut < size; cut++) {
            size_t early = mr_word(text, cut, true);
            if (early && early != whole)
                fail_msg("round %d: %zu of the first %zu bytes, %zu of all", round, early, cut, whole);
        }
        assert_true(whole >= 1 && whole <= size);
    }
}

/* Cut at the same places however the text comes, and never within a character. */
static void test_endless_words_are_cut(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE6\x97\xA5", " "};
    for (size_t i = 0; i < COUNT(characters); i++) {
        size_t length = strlen(characters[i]), size = 3 * (size_t)MR_LONGEST_WORD / length * length;
        char *text = malloc(size);
        for (size_t at = 0; at < size; at += length)
            memcpy(text + at, characters[i], length);
        size_t n = mr_word(text, size, false);
        assert_true(n <= MR_LONGEST_WORD && n > MR_LONGEST_WORD - 4 && n % length == 0);
        assert_int_equal(mr_word(text, size, true), n);
        assert_int_equal(mr_word(text, MR_LONGEST_WORD, true), 0);
        free(text);
    }
}

static void test_apostrophe_and_zero_byte(void **state)
{
    (void)state;
    assert_int_equal(mr_word("'\0x", 3, false), 2);
    assert_int_equal(mr_word("'r\0", 3, false), 1);
    assert_int_equal(mr_word("'", 1, true), 0);
    assert_int_equal(mr_word("'r", 2, true), 0);
    assert_int_equal(mr_word("", 0, false), 0);
}

/* ---- sets of strings ----------------------------------------------------------------------------------- */

static struct mr_trie trie_of(const char *const *texts, size_t count)
{
    struct mr_trie t;
    struct mr_trie_entry entries[16];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct mr_trie_entry){texts[i], strlen(texts[i]), (uint32_t)i};
    assert_ok(mr_trie_build(&t, entries, count));
    return t;
}

static void test_longest_string_is_found(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "ab", "abcd", "b", "\xFFz"};
    struct mr_trie t = trie_of(texts, COUNT(texts));
    uint32_t id = 99;
    bool open;
    assert_int_equal(mr_trie_longest(&t, "abcx", 4, &id, &open), 2);
    assert_int_equal(id, 1);
    assert_false(open);
    assert_int_equal(mr_trie_longest(&t, "abc", 3, &id, &open), 2);
    assert_true(open);
    assert_int_equal(mr_trie_longest(&t, "abcd", 4, &id, &open), 4);
    assert_int_equal(id, 2);
    assert_false(open);
    assert_int_equal(mr_trie_longest(&t, "\xFFy", 2, &id, &open), 0);
    assert_int_equal(mr_trie_longest(&t, "x", 1, &id, &open), 0);
    mr_trie_free(&t);
}

static void test_strings_among_many_children(void **state)
{
    (void)state;
    struct mr_trie_entry entries[256];
    char texts[256][2];
    struct mr_trie t;
    uint32_t id;
    bool open;
    for (int i = 0; i < 256; i++) {
        texts[i][0] = 'x';
        texts[i][1] = (char)i;
        entries[i] = (struct mr_trie_entry){texts[i], 2, (uint32_t)i};
    }
    assert_ok(mr_trie_build(&t, entries, 256));
    for (int i = 0; i < 256; i++) {
        assert_int_equal(mr_trie_longest(&t, texts[i], 2, &id, &open), 2);
        assert_int_equal(id, i);
    }
    mr_trie_free(&t);
}

static void test_equal_and_empty_strings_are_refused(void **state)
{
    (void)state;
    struct mr_trie t;
    struct mr_trie_entry twice[] = {{"ab", 2, 4}, {"x", 1, 5}, {"ab", 2, 6}}, empty[] = {{"", 0, 3}};
    assert_fails(MR_EFILE, "have the same text \"ab\"", mr_trie_build(&t, twice, 3));
    assert_fails(MR_EFILE, "token 3 is empty", mr_trie_build(&t, empty, 1));
}

/* ---- spellings and literals ---------------------------------------------------------------------------- */

static void test_every_byte_has_its_spelling(void **state)
{
    (void)state;
    struct mr_str spelling = {0}, back = {0};
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_ok(mr_spell(all, 256, &spelling));
    assert_ok(mr_unspell(spelling.text, spelling.size, &back));
    assert_int_equal(back.size, 256);
    assert_memory_equal(back.text, all, 256);
    spelling.size = back.size = 0;
    assert_ok(mr_spell(" \n\x7F\xA0\xADz", 6, &spelling));
    assert_string_equal(spelling.text,
                        "\xC4\xA0\xC4\x8A\xC4\xA1\xC5\x82\xC5\x83z"); /* U+0120 U+010A U+0121 U+0142 U+0143 */
    assert_ok(mr_unspell("\xE6\x97\xA5", 3, &back));                  /* no spelling: itself */
    assert_string_equal(back.text, "\xE6\x97\xA5");
    mr_str_free(&spelling);
    mr_str_free(&back);
}

static void test_literals_of_python(void **state)
{
    (void)state;
    static const struct {
        const char *literal, *bytes;
        size_t size;
    } cases[] = {
        {"'abc'", "abc", 3},
        {"\"it's\"", "it's", 4},
        {"'\\x00'", "\0", 1},
        {"'\\xe9'", "\xC3\xA9", 2},
        {"b'\\xe9'", "\xE9", 1},
        {"b\"'\"", "'", 1},
        {"'\\n\\t\\r\\\\\\''", "\n\t\r\\'", 5},
        {"'\\u65e5'", "\xE6\x97\xA5", 3},
        {"'\\U0001f600'", "\xF0\x9F\x98\x80", 4},
        {"'\\101\\0'", "A\0", 2},
        {"' '", " ", 1},
        {"'\xE6\x97\xA5'", "\xE6\x97\xA5", 3},
        {"''", "", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mr_str bytes = {0};
        assert_ok(mr_python_literal(cases[i].literal, strlen(cases[i].literal), &bytes));
        assert_int_equal(bytes.size, cases[i].size);
        if (bytes.size)
            assert_memory_equal(bytes.text, cases[i].bytes, bytes.size);
        mr_str_free(&bytes);
    }
}

static void test_wrong_literals_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",           "b",      "'",     "'a",        "abc",           "'a\"",
                                        "'a'b",       "'\\x1'", "'\\q'", "'\\ud800'", "'\\U00110000'", "b'\xC3\xA9'",
                                        "b'\\u0041'", "'\xFF'", "'\\",   "b'\\400'",  "u'a'"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct mr_str bytes = {0};
        if (mr_python_literal(wrong[i], strlen(wrong[i]), &bytes) != MR_EFILE)
            fail_msg("%s was taken", wrong[i]);
        mr_str_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_as_gpt2_cuts_them),
        cmocka_unit_test(test_words_that_are_certain_stay_when_more_comes),
        cmocka_unit_test(test_endless_words_are_cut),
        cmocka_unit_test(test_apostrophe_and_zero_byte),
        cmocka_unit_test(test_longest_string_is_found),
        cmocka_unit_test(test_strings_among_many_children),
        cmocka_unit_test(test_equal_and_empty_strings_are_refused),
        cmocka_unit_test(test_every_byte_has_its_spelling),
        cmocka_unit_test(test_literals_of_python),
        cmocka_unit_test(test_wrong_literals_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
