/* SPDX-License-Identifier: GPL-3.0-or-later
 * Normal form C, and cutting by patterns. */
#include "unit_test.h"

#include <utf8proc.h>

#include "text/nfc.h"
#include "text/split.h"
#include "base/utf8.h"

static const struct mr_normal form_c = {.compose = true};

static void expect_nfc(const char *text, size_t size, const char *want)
{
    struct mr_str out = {0};
    assert_ok(mr_normalise(&form_c, text, size, &out));
    assert_int_equal(out.size, strlen(want));
    assert_string_equal(out.text ? out.text : "", want);
    mr_str_free(&out);
}

static void test_characters_are_composed(void **state)
{
    (void)state;
    expect_nfc("e\xCC\x81", 3, "\xC3\xA9");
    expect_nfc("\xE2\x84\xAB", 3, "\xC3\x85");                             /* the Angstrom sign */
    expect_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", 9, "\xED\x95\x9C"); /* Hangul */
    expect_nfc("a\xCC\x81\xCC\x96", 5, "\xC3\xA1\xCC\x96");                /* marks change places */
    expect_nfc("\xE0\xA5\x98", 3, "\xE0\xA4\x95\xE0\xA4\xBC");             /* excluded */
    expect_nfc("\xCC\x81\xCC\x96", 4, "\xCC\x96\xCC\x81");                 /* no character before them */
    expect_nfc("plain \xC3\xA9", 8, "plain \xC3\xA9");
    expect_nfc("", 0, "");
}

static void test_invalid_bytes_stay_and_part(void **state)
{
    (void)state;
    expect_nfc("e\xFF\xCC\x81", 4, "e\xFF\xCC\x81");
    expect_nfc("e\xCC\x81\xE2\x84", 5, "\xC3\xA9\xE2\x84");
}

/* What a character decomposes into holds no boundary but its start, and no mark is one. */
static void test_nothing_composes_across_a_boundary(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        utf8proc_int32_t parts[32];
        int boundclass = 0;
        if (c >= 0xD800 && c < 0xE000)
            continue;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, 32, UTF8PROC_DECOMPOSE, &boundclass);
        assert_true(n >= 1 && n <= 32);
        for (utf8proc_ssize_t i = 1; i < n; i++)
            if (mr_normal_boundary(&form_c, (uint32_t)parts[i]))
                fail_msg("U+%04X: its part U+%04X is a boundary", c, (unsigned)parts[i]);
        if (mr_normal_boundary(&form_c, c) && utf8proc_get_property((utf8proc_int32_t)c)->combining_class)
            fail_msg("the mark U+%04X is a boundary", c);
    }
}

static void test_text_normalised_in_two_parts(void **state)
{
    (void)state;
    static const char text[] = "ae\xCC\x81\xCC\x96 \xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB\xFF\xCC\x81z\xE2\x84";
    struct mr_str whole = {0}, parts = {0};
    assert_ok(mr_normalise(&form_c, text, sizeof text - 1, &whole));
    for (size_t size = 0; size < sizeof text; size++) {
        size_t certain = mr_normal_certain(&form_c, text, size);
        assert_true(certain <= size);
        parts.size = 0;
        assert_ok(mr_normalise(&form_c, text, certain, &parts));
        assert_ok(mr_normalise(&form_c, text + certain, sizeof text - 1 - certain, &parts));
        assert_int_equal(parts.size, whole.size);
        assert_memory_equal(parts.text, whole.text, whole.size);
    }
    mr_str_free(&whole);
    mr_str_free(&parts);
}

static void test_a_million_marks_on_one_letter(void **state)
{
    (void)state;
    size_t n = 500000, size = 1;
    char *text = malloc(1 + 4 * n);
    struct mr_str out = {0};
    text[0] = 'q';
    for (size_t i = 0; i < n; i++, size += 4)
        memcpy(text + size, "\xCC\x81\xCC\x96", 4); /* above, below: all the latter come first */
    assert_ok(mr_normalise(&form_c, text, size, &out));
    assert_int_equal(out.size, size);
    assert_memory_equal(out.text, "q\xCC\x96\xCC\x96", 5);
    assert_memory_equal(out.text + size - 4, "\xCC\x81\xCC\x81", 4);
    mr_str_free(&out);
    free(text);
}

/* ---- patterns ------------------------------------------------------------------------------------------ */

static int collect(void *context, const char *bytes, size_t size)
{
    struct mr_str *out = context;
    int err = out->size ? mr_str_append(out, "|", 1) : 0;
    return err ? err : mr_str_append(out, bytes, size);
}

static void expect_pieces(const char *pattern, bool literal, bool keep_rest, const char *text, const char *want)
{
    mr_split *s;
    mr_split_scratch *room;
    struct mr_str out = {0};
    size_t used, size = strlen(text);
    assert_ok(mr_split_open(&s, pattern, strlen(pattern), literal, keep_rest));
    assert_ok(mr_split_scratch_open(&room));
    assert_ok(mr_split_all(s, room, text, size, false, collect, &out, &used));
    assert_int_equal(used, size);
    assert_string_equal(out.text ? out.text : "", want);
    for (size_t cut = 0; cut <= size; cut++) { /* in two parts */
        out.size = 0;
        assert_ok(mr_split_all(s, room, text, cut, true, collect, &out, &used));
        assert_true(used <= cut);
        assert_ok(mr_split_all(s, room, text + used, size - used, false, collect, &out, &used));
        assert_string_equal(out.text ? out.text : "", want);
    }
    mr_str_free(&out);
    mr_split_scratch_close(room);
    mr_split_close(s);
}

static void test_pieces_of_patterns(void **state)
{
    (void)state;
    static const char later[] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
        "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    expect_pieces(later, false, true, "Don'T  12345!!\n\n  x \xC3\xA9t\xC3\xA9 ",
                  "Don|'T| | |123|45|!!\n\n| | x| \xC3\xA9t\xC3\xA9| ");
    expect_pieces("\\p{N}", false, true, "a12b", "a|1|2|b");
    expect_pieces("[a-z]+", false, false, "ab1cd", "ab|cd");
    expect_pieces(".", true, true, "a.b..", "a|.|b|.|.");
    expect_pieces("\\s+", false, true, "a\xE1\xA0\x8E \xC2\x85z", "a\xE1\xA0\x8E| \xC2\x85|z"); /* U+180E is no space */
    expect_pieces("a+", false, true,
                  "\xFF\xFE"
                  "aa\xC3",
                  "\xFF|\xFE|aa|\xC3");
    expect_pieces("x", false, true, "", "");
}

static void test_patterns_that_are_refused(void **state)
{
    (void)state;
    mr_split *s;
    static const char *const behind[] = {"(?<=a)b", "\\bx", "^a", "a|^b", "\\Aa", "(?<!x)y"};
    for (size_t i = 0; i < COUNT(behind); i++)
        assert_fails(MR_EFILE, "is not supported", mr_split_open(&s, behind[i], strlen(behind[i]), false, true));
    assert_fails(MR_EFILE, "invalid pattern", mr_split_open(&s, "(a", 2, false, true));
    assert_fails(MR_EFILE, "pattern of 0 bytes", mr_split_open(&s, "", 0, false, true));
    assert_ok(mr_split_open(&s, "[^a^]\\^", 7, false, true));
    mr_split_close(s);
}

static void test_a_pattern_that_takes_too_long_ends(void **state)
{
    (void)state;
    mr_split *s;
    mr_split_scratch *room;
    struct mr_str out = {0};
    size_t used;
    char text[64];
    memset(text, 'a', sizeof text);
    assert_ok(mr_split_open(&s, "(a+)+b|a", 8, false, true));
    assert_ok(mr_split_scratch_open(&room));
    assert_fails(MR_EFILE, "cannot match the pattern",
                 mr_split_all(s, room, text, sizeof text, false, collect, &out, &used));
    mr_split_scratch_close(room);
    mr_split_close(s);
    mr_str_free(&out);
}

/* Compatibility letters of Hangul and half-width marks of kana join what comes before them. */
static void test_form_kc_in_two_parts(void **state)
{
    (void)state;
    static const struct mr_normal form_kc = {.compose = true, .compat = true};
    static const char text[] = "a\xE3\x84\xB1\xE3\x85\x8F\xEF\xBD\xB6\xEF\xBE\x9E\xEF\xAC\x81"; /* aㄱㅏｶﾞﬁ */
    static const char want[] = "a\xEA\xB0\x80\xE3\x82\xAC\x66i";                                /* a가ガfi */
    for (size_t size = 0; size < sizeof text; size++) {
        size_t certain = mr_normal_certain(&form_kc, text, size);
        struct mr_str parts = {0};
        assert_ok(mr_normalise(&form_kc, text, certain, &parts));
        assert_ok(mr_normalise(&form_kc, text + certain, sizeof text - 1 - certain, &parts));
        assert_string_equal(parts.text, want);
        mr_str_free(&parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters_are_composed),
        cmocka_unit_test(test_invalid_bytes_stay_and_part),
        cmocka_unit_test(test_nothing_composes_across_a_boundary),
        cmocka_unit_test(test_text_normalised_in_two_parts),
        cmocka_unit_test(test_a_million_marks_on_one_letter),
        cmocka_unit_test(test_pieces_of_patterns),
        cmocka_unit_test(test_patterns_that_are_refused),
        cmocka_unit_test(test_a_pattern_that_takes_too_long_ends),
        cmocka_unit_test(test_form_kc_in_two_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
