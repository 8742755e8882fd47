/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizers of files: GPT-2's, tokenizer.json, RWKV World. */
#include "text_test.h"

/* ---- GPT-2 --------------------------------------------------------------------------------------------- */

static const char *gpt2_folder(const char *name, const char *vocab_name, const char *merges_name)
{
    static char folder[300];
    char path[400];
    json_t *vocab = test_vocab(), *merges = test_merge_list();
    struct mr_str text = {0};
    snprintf(folder, sizeof folder, "%s", test_path(name));
    assert_ok(mr_make_folder(folder, 0777));
    snprintf(path, sizeof path, "%s/%s", folder, vocab_name);
    assert_ok(mr_json_save(vocab, path));
    assert_ok(mr_str_printf(&text, "#version: 0.2\n"));
    for (size_t i = 0; i < json_array_size(merges); i++)
        assert_ok(mr_str_printf(&text, "%s\n", json_string_value(json_array_get(merges, i))));
    snprintf(path, sizeof path, "%s/%s", folder, merges_name);
    assert_ok(mr_file_write(path, text.text, text.size));
    mr_str_free(&text);
    json_decref(vocab);
    json_decref(merges);
    return folder;
}

static void test_gpt2_merges_within_words(void **state)
{
    (void)state;
    mr_tokenizer *t = test_open("gpt2", gpt2_folder("gpt2", "encoder.json", "vocab.bpe"));
    EXPECT_IDS(t, "ab ab abab", false, TEST_AB, TEST_SPACE_AB, ' ', TEST_ABAB); /* ab ab comes before " " ab */
    EXPECT_IDS(t, "a b\n", false, 'a', ' ', 'b', '\n');
    EXPECT_IDS(t, "ababab", false, TEST_ABAB, TEST_AB);
    EXPECT_IDS(t, "\xC3\xA9\xC3", false, TEST_E_ACUTE, 0xC3);
    EXPECT_IDS(t, "1212", false, TEST_12, TEST_12);
    assert_int_equal(mr_tokenizer_vocab_size(t), TEST_END + 1);
    assert_int_equal(mr_tokenizer_end(t), TEST_END);
    mr_tokenizer_close(t);
}

static void test_gpt2_takes_both_pairs_of_names(void **state)
{
    (void)state;
    mr_tokenizer *a = test_open("gpt2", gpt2_folder("gpt2", "encoder.json", "vocab.bpe"));
    mr_tokenizer *b = test_open("gpt2", gpt2_folder("gpt2b", "vocab.json", "merges.txt"));
    assert_true(mr_tokenizer_equal(a, b));
    mr_tokenizer_close(a);
    mr_tokenizer_close(b);
}

static void test_end_of_text_is_a_token_on_request(void **state)
{
    (void)state;
    mr_tokenizer *t = test_open("gpt2", gpt2_folder("gpt2", "encoder.json", "vocab.bpe"));
    EXPECT_IDS(t, "a<|endoftext|>ab", true, 'a', TEST_END, TEST_AB);
    EXPECT_IDS(t, "<|end", true, TEST_LESS, 'e', 'n', 'd');
    EXPECT_IDS(t, "<|endoftext|>", false, TEST_LESS, 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't', '|', '>');
    mr_tokenizer_close(t);
}

static void test_gpt2_has_good_manners(void **state)
{
    (void)state;
    size_t size = 100000;
    char *text = test_text(3, &size, false);
    mr_tokenizer *t = test_open("gpt2", gpt2_folder("gpt2", "encoder.json", "vocab.bpe"));
    expect_good_manners(t, false);
    expect_round_trip(t, text, size);
    mr_tokenizer_close(t);
    free(text);
}

static void test_broken_gpt2_files_are_named(void **state)
{
    (void)state;
    static const char *const vocabs[][2] = {
        {"{\"a\": 0, \"b\": ", "encoder.json is not valid JSON: line 1"},
        {"[1]", "not an object of tokens"},
        {"{}", "not an object of tokens"},
        {"{\"a\": 0, \"b\": 0}", "duplicate id 0: \"a\" and \"b\""},
        {"{\"a\": 0, \"a\": 1}", "duplicate"},
        {"{\"a\": \"x\"}", "\"a\" is not an integer"},
        {"{\"a\": -1}", "token id -1"},
        {"{\"a\": 99999999999}", "99999999999"},
        {"{\"a\": 0, \"\": 1}", "token 1 is empty"},
    };
    static const char *const merges[][2] = {
        {"a b\nab c\n", "merge 2: token \"c\" is not in the vocabulary"},
        {"a b\nb a\n", "merge 2: its result \"ba\" is not"},
        {"a b\nab\n", "merge 2: \"ab\" is not two tokens"},
        {"a b b\n", "merge 1: \"a b b\" is not two"},
        {"a \n", "merge 1"},
        {"a b\n\xFF x\n", "vocab.bpe: merge 2 is not valid UTF-8"},
    };
    mr_tokenizer *t;
    char spec[400];
    assert_ok(mr_make_folder(test_path("broken"), 0777));
    snprintf(spec, sizeof spec, "gpt2:%s", test_path("broken"));
    assert_fails(MR_EFILE, "holds neither encoder.json", mr_tokenizer_open(&t, spec));
    test_write("broken/vocab.bpe", "");
    for (size_t i = 0; i < COUNT(vocabs); i++) {
        test_write("broken/encoder.json", vocabs[i][0]);
        assert_fails(MR_EFILE, vocabs[i][1], mr_tokenizer_open(&t, spec));
        assert_null(t);
    }
    test_write("broken/encoder.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    for (size_t i = 0; i < COUNT(merges); i++) {
        test_write("broken/vocab.bpe", merges[i][0]);
        assert_fails(MR_EFILE, merges[i][1], mr_tokenizer_open(&t, spec));
    }
    test_write("broken/vocab.bpe", "a b");
    assert_ok(mr_tokenizer_open(&t, spec));
    EXPECT_IDS(t, "aba", false, 2, 0);
    struct mr_ids ids = {0};
    assert_fails(MR_EFILE, "0x63, found at offset 2", mr_tokenizer_encode(t, "abc", 3, false, &ids));
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
}

/* ---- tokenizer.json ------------------------------------------------------------------------------------ */

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}"

/* A file with these parts; the vocabulary is the one of text_test.h. NULL: as usual. */
static const char *json_file(const char *normalizer, const char *pre_tokenizer, const char *added,
                             const char *more_of_model)
{
    json_t *vocab = test_vocab(), *merges = test_merge_list();
    char *v = mr_json_text(vocab), *m = mr_json_text(merges);
    struct mr_str text = {0};
    assert_ok(
        mr_str_printf(&text,
                      "{\"version\":\"1.0\",\"normalizer\":%s,\"pre_tokenizer\":%s,\"added_tokens\":%s,"
                      "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":%s%s}}",
                      normalizer ? normalizer : "null", pre_tokenizer ? pre_tokenizer : BYTE_LEVEL,
                      added ? added : "[]", v, m, more_of_model ? more_of_model : ""));
    const char *path = test_write("tokenizer.json", text.text);
    mr_str_free(&text);
    free(v);
    free(m);
    json_decref(vocab);
    json_decref(merges);
    return path;
}

static const char added_tokens[] = "[{\"id\":263,\"content\":\"<|endoftext|>\",\"special\":true,\"normalized\":false},"
                                   "{\"id\":300,\"content\":\"  \",\"special\":false,\"normalized\":true},"
                                   "{\"id\":301,\"content\":\"   \",\"special\":false,\"normalized\":true},"
                                   "{\"id\":302,\"content\":\"e\\u0301!\",\"special\":false,\"normalized\":false}]";

static void test_json_added_tokens(void **state)
{
    (void)state;
    mr_tokenizer *t = test_open("json", json_file(NULL, NULL, added_tokens, NULL));
    EXPECT_IDS(t, "a  b", false, 'a', 300, 'b');
    EXPECT_IDS(t, "a     b", false, 'a', 301, 300, 'b');
    EXPECT_IDS(t, " a", false, TEST_SPACE_A);
    EXPECT_IDS(t, "ae\xCC\x81!", false, 'a', 302);
    EXPECT_IDS(t, "a<|endoftext|> b", true, 'a', 263, ' ', 'b');
    EXPECT_IDS(t, "<|endof", false, TEST_LESS, 'e', 'n', 'd', 'o', 'f');
    assert_int_equal(mr_tokenizer_vocab_size(t), 303);
    assert_int_equal(mr_tokenizer_end(t), 263);
    expect_good_manners(t, false);
    mr_tokenizer_close(t);
}

static void test_json_normalises(void **state)
{
    (void)state;
    static const char *const normalizers[] = {"{\"type\":\"NFC\"}",
                                              "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}"};
    for (size_t i = 0; i < COUNT(normalizers); i++) {
        mr_tokenizer *t = test_open("json", json_file(normalizers[i], NULL, added_tokens, NULL));
        EXPECT_IDS(t, "e\xCC\x81", false, TEST_E_ACUTE);
        EXPECT_IDS(t, "e\xCC\x81!", false, 302); /* looked for before normalising */
        EXPECT_IDS(t, "e\xFF\xCC\x81", false, 'e', 0xFF, 0xCC, 0x81);
        expect_good_manners(t, false);
        mr_tokenizer_close(t);
    }
}

static void test_json_lowers_and_composes(void **state)
{
    (void)state;
    static const char added[] = "[{\"id\":300,\"content\":\"AB!\",\"special\":false,\"normalized\":true}]";
    mr_tokenizer *t = test_open("json", json_file("{\"type\":\"Lowercase\"}", NULL, added, NULL));
    EXPECT_IDS(t, "xYZ", false, 'x', 'y', 'z');
    EXPECT_IDS(t, "aB!Ab!", false, 300, 300);
    EXPECT_IDS(t, "\xC3\x89", false, TEST_E_ACUTE); /* É */
    EXPECT_IDS(t, "E\xCC\x81", false, 'e', 0xCC, 0x81);
    EXPECT_IDS(t, "\xC4\xB0", false, 'i', 0xCC, 0x87); /* İ */
    mr_tokenizer_close(t);
    t = test_open("json", json_file("{\"type\":\"NFKC\"}", NULL, NULL, NULL));
    EXPECT_IDS(t, "e\xCC\x81", false, TEST_E_ACUTE);
    EXPECT_IDS(t, "\xEF\xBC\xB8\xC2\xA0z", false, 'X', ' ', 'z');       /* Ｘ, no-break space */
    EXPECT_IDS(t, "\xE3\x84\xB1\xE3\x85\x8F", false, 0xEA, 0xB0, 0x80); /* ㄱㅏ becomes 가 */
    mr_tokenizer_close(t);
    t = test_open("json", json_file("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},"
                                    "{\"type\":\"Lowercase\"}]}",
                                    NULL, NULL, NULL));
    EXPECT_IDS(t, "E\xCC\x81\xEF\xBC\xB8", false, TEST_E_ACUTE, 'x');
    mr_tokenizer_close(t);
}

static void test_json_prefix_space(void **state)
{
    (void)state;
    mr_tokenizer *t =
        test_open("json", json_file(NULL, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", added_tokens, NULL));
    EXPECT_IDS(t, "ab", false, TEST_SPACE_AB);
    EXPECT_IDS(t, " a", false, TEST_SPACE_A);
    EXPECT_IDS(t, "a  b", false, TEST_SPACE_A, 300, ' ', 'b');
    EXPECT_IDS(t, "a<|endoftext|>a", true, TEST_SPACE_A, 263, TEST_SPACE_A);
    EXPECT_IDS(t, "", false, );
    expect_good_manners(t, false);
    mr_tokenizer_close(t);
}

static void test_json_splits(void **state)
{
    (void)state;
    static const char sequence[] =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s?\\\\p{L}|\\\\s+(?!\\\\S)\"},\"behavior\":\"Isolated\","
        "\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}";
    mr_tokenizer *t = test_open("json", json_file(NULL, sequence, NULL, NULL));
    EXPECT_IDS(t, "12", false, '1', '2');
    EXPECT_IDS(t, "ab ab", false, 'a', 'b', TEST_SPACE_A, 'b');
    expect_good_manners(t, false);
    mr_tokenizer_close(t);
    t = test_open(
        "json", json_file(NULL, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}", NULL, NULL));
    EXPECT_IDS(t,
               "\xC3\xA9"
               "12",
               false, TEST_E_ACUTE, TEST_12);
    expect_good_manners(t, false);
    mr_tokenizer_close(t);
}

static void test_json_merges_as_pairs(void **state)
{
    (void)state;
    const char *path =
        test_write("pairs.json", "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                                 "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"aab\":5},"
                                 "\"merges\":[[\"a\",\"b\"],[\"a\",\"ab\"]]}}");
    mr_tokenizer *t = test_open("json", path);
    EXPECT_IDS(t, "aabb", false, 5, 1);
    assert_int_equal(mr_tokenizer_end(t), -1);
    const char *bytes;
    size_t size;
    assert_ok(mr_tokenizer_decode(t, 3, &bytes, &size)); /* stands for nothing */
    assert_int_equal(size, 0);
    assert_fails(MR_EFILE, "token 6", mr_tokenizer_decode(t, 6, &bytes, &size));
    mr_tokenizer_close(t);
}

static void test_json_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static const struct {
        const char *normalizer, *pre, *added, *model, *name;
    } cases[] = {
        {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},{\"type\":\"NFC\"}]}", NULL, NULL, NULL,
         "NFC after Lowercase"},
        {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"}]}", NULL, NULL, NULL, "\"NFKD\""},
        {NULL, "{\"type\":\"Metaspace\"}", NULL, NULL, "\"Metaspace\""},
        {NULL, "null", NULL, NULL, "pre-tokenizer"},
        {NULL, "{\"type\":\"Digits\"}", NULL, NULL, "without ByteLevel"},
        {NULL, "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL "," BYTE_LEVEL "]}", NULL, NULL,
         "after ByteLevel"},
        {NULL, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"MergedWithNext\"}", NULL, NULL,
         "\"MergedWithNext\""},
        {NULL, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a(\"},\"behavior\":\"Isolated\"}", NULL, NULL, "a("},
        {NULL, "{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}", NULL, NULL, "pattern"},
        {NULL, NULL, "[{\"id\":300,\"content\":\"x\",\"lstrip\":true}]", NULL, "\"lstrip\""},
        {NULL, NULL, "[{\"id\":97,\"content\":\"x\"}]", NULL, "duplicate id 97"},
        {NULL, NULL, "[{\"id\":300,\"content\":\"\"}]", NULL, "empty"},
        {NULL, NULL, "[{\"content\":\"x\"}]", NULL, "\"added_tokens\"[0]: \"id\" is missing"},
        {NULL, NULL, "[{\"id\":300,\"content\":\"xx\"},{\"id\":301,\"content\":\"xx\"}]", NULL, "have the same text"},
        {NULL, NULL, NULL, ",\"byte_fallback\":true", "\"byte_fallback\""},
        {NULL, NULL, NULL, ",\"dropout\":0.1", "\"dropout\""},
        {NULL, NULL, NULL, ",\"end_of_word_suffix\":\"</w>\"", "</w>"},
        {NULL, NULL, NULL, ",\"merges\":[]", "duplicate"},
    };
    char spec[400];
    mr_tokenizer *t;
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(spec, sizeof spec, "json:%s",
                 json_file(cases[i].normalizer, cases[i].pre, cases[i].added, cases[i].model));
        assert_fails(MR_EFILE, cases[i].name, mr_tokenizer_open(&t, spec));
        assert_non_null(strstr(mr_error_text(), "tokenizer.json"));
        assert_null(t);
    }
    snprintf(spec, sizeof spec, "json:%s",
             test_write("wp.json", "{\"pre_tokenizer\":" BYTE_LEVEL ",\"model\":{\"type\":\"WordPiece\"}}"));
    assert_fails(MR_EFILE, "\"WordPiece\"", mr_tokenizer_open(&t, spec));
    snprintf(spec, sizeof spec, "json:%s", test_path("none.json"));
    assert_fails(MR_EFILE, "none.json", mr_tokenizer_open(&t, spec));
}

/* ---- World --------------------------------------------------------------------------------------------- */

/* All bytes, then a few longer ones. */
static const char *world_file(void)
{
    struct mr_str text = {0};
    for (int i = 0; i < 256; i++) {
        if (i < 128)
            assert_ok(mr_str_printf(&text, "%d '\\x%02x' 1\n", i + 1, i));
        else
            assert_ok(mr_str_printf(&text, "%d b'\\x%02x' 1\n", i + 1, i));
    }
    assert_ok(mr_str_printf(
        &text, "300 'ab' 2\n301 'abab!' 5\n302 \" a\" 2\n303 '\\xe9' 2\n304 '\xE6\x97\xA5' 3\n305 b'\\xf0\\x9f' 2\n"
               "306 '<|end' 5\n"));
    const char *path = test_write("world.txt", text.text);
    mr_str_free(&text);
    return path;
}

static void test_world_takes_the_longest_token(void **state)
{
    (void)state;
    mr_tokenizer *t = test_open("world", world_file());
    EXPECT_IDS(t, "ababx", false, 300, 300, 'x' + 1);
    EXPECT_IDS(t, "abab!", false, 301);
    EXPECT_IDS(t, " ab", false, 302, 'b' + 1);
    EXPECT_IDS(t, "\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80", false, 303, 304, 305, 0x98 + 1, 0x80 + 1);
    EXPECT_IDS(t, "a<|endoftext|>a", true, 'a' + 1, 0, 'a' + 1);
    assert_int_equal(mr_tokenizer_vocab_size(t), 307);
    assert_int_equal(mr_tokenizer_end(t), 0);
    expect_good_manners(t, false);
    size_t size = 50000;
    char *text = test_text(3, &size, false);
    expect_round_trip(t, text, size);
    free(text);
    mr_tokenizer_close(t);
}

static void test_broken_world_lines_are_named(void **state)
{
    (void)state;
    static const char *const broken[][2] = {
        {"1 'a' 1\n2 'b'\n", "line 2"},
        {"1 'a' 1\nx 'b' 1\n", "line 2: the id is not a number"},
        {"1 'a' 2\n", "line 1: the string has 1 bytes, but the line says 2"},
        {"1 'a' x\n", "the size is not a number"},
        {"1 'a' 1\n1 'b' 1\n", "line 2: duplicate id 1"},
        {"1 'a' 1\n2 'a' 1\n", "ids 1 and 2 have the same text"},
        {"1 'a 2\n", "the closing quote"},
        {"1 '\\q' 1\n", "escape"},
        {"99999999 'a' 1\n", "99999999"},
        {"1 '' 0\n", "empty"},
        {"", "no tokens"},
        {"1 'a' 1\n\xFF\xFE\n", "line 2"},
    };
    char spec[400];
    mr_tokenizer *t;
    for (size_t i = 0; i < COUNT(broken); i++) {
        snprintf(spec, sizeof spec, "world:%s", test_write("world.txt", broken[i][0]));
        assert_fails(MR_EFILE, broken[i][1], mr_tokenizer_open(&t, spec));
        assert_non_null(strstr(mr_error_text(), "world.txt"));
    }
    struct mr_ids ids = {0};
    t = test_open("world", test_write("world.txt", "1 'a' 1\r\n7 'bc' 2"));
    assert_fails(MR_EFILE, "0x62, found at offset 3", mr_tokenizer_encode(t, "abcbx", 5, false, &ids));
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
}

/* ---- the published vocabularies ------------------------------------------------------------------------ */

static void expect_golden(const char *name, const char *kind, const char *place, const char *folder)
{
    char path[400], spec[500];
    json_t *golden, *list;
    snprintf(path, sizeof path, "%s/golden/tokenizers.json", folder);
    golden = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_non_null(golden);
    assert_ok(mr_json_array(golden, name, &list));
    snprintf(spec, sizeof spec, "%s", place);
    mr_tokenizer *t = test_open(kind, spec);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *text = json_object_get(json_array_get(list, i), "text"),
                     *ids = json_object_get(json_array_get(list, i), "ids");
        uint32_t want[1000];
        for (size_t k = 0; k < json_array_size(ids); k++)
            want[k] = (uint32_t)json_integer_value(json_array_get(ids, k));
        struct mr_ids got = {0};
        assert_ok(mr_tokenizer_encode(t, json_string_value(text), json_string_length(text), false, &got));
        if (got.count != json_array_size(ids) || (got.count && memcmp(got.id, want, got.count * sizeof *want)))
            fail_msg("%s: text %zu gives other ids: %s", name, i, json_string_value(text));
        mr_ids_free(&got);
    }
    assert_true(json_array_size(list) > 10);
    expect_json_form(t);
    mr_tokenizer_close(t);
    json_decref(golden);
}

/* The folder of the test data that only some machines have, or skips. */
static const char *test_data(void)
{
    const char *folder = getenv("MICRORWKV_TEST_DATA");
    if (!folder) {
        print_message("MICRORWKV_TEST_DATA is not set\n");
        skip();
    }
    return folder;
}

static void test_golden_gpt2(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"gpt2-encoder.json", "encoder.json"}, {"gpt2-vocab.bpe", "vocab.bpe"}};
    const char *folder = test_data();
    char from[400], to[400];
    assert_ok(mr_make_folder(test_path("published"), 0777));
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/data/%s", folder, names[i][0]);
        snprintf(to, sizeof to, "%s/published/%s", test_folder(), names[i][1]);
        assert_int_equal(symlink(from, to), 0);
    }
    expect_golden("gpt2", "gpt2", test_path("published"), folder);
}

static void test_golden_neox(void **state)
{
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "%s/data/neox-20b-tokenizer.json", test_data());
    expect_golden("neox20b", "json", path, test_data());
}

static void test_golden_world(void **state)
{
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "%s/data/rwkv_vocab_v20230424.txt", test_data());
    expect_golden("world", "world", path, test_data());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_merges_within_words),
        cmocka_unit_test(test_gpt2_takes_both_pairs_of_names),
        cmocka_unit_test(test_end_of_text_is_a_token_on_request),
        cmocka_unit_test(test_gpt2_has_good_manners),
        cmocka_unit_test(test_broken_gpt2_files_are_named),
        cmocka_unit_test(test_json_added_tokens),
        cmocka_unit_test(test_json_normalises),
        cmocka_unit_test(test_json_lowers_and_composes),
        cmocka_unit_test(test_json_prefix_space),
        cmocka_unit_test(test_json_splits),
        cmocka_unit_test(test_json_merges_as_pairs),
        cmocka_unit_test(test_json_refuses_what_it_does_not_know),
        cmocka_unit_test(test_world_takes_the_longest_token),
        cmocka_unit_test(test_broken_world_lines_are_named),
        cmocka_unit_test(test_golden_gpt2),
        cmocka_unit_test(test_golden_neox),
        cmocka_unit_test(test_golden_world),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
