/* SPDX-License-Identifier: GPL-3.0-or-later
 * Byte-pair encoding: merging, and training a tokenizer. */
#include "text_test.h"

#include "text/bpe.h"
#include "text/train_bpe.h"
#include "text/trained_bpe.h"
#include "text/word_counts.h"

/* A tokenizer of random merges; all its tokens are of a, b and c. */
static mr_tokenizer *random_merges(uint32_t seed, size_t count)
{
    uint64_t merges[200];
    mr_tokenizer *t;
    for (size_t i = 0; i < count;) {
        uint32_t all = 3 + (uint32_t)i, left = test_random(&seed) % all, right = test_random(&seed) % all;
        uint64_t pair = mr_pair(left < 3 ? 'a' + left : 253 + left, right < 3 ? 'a' + right : 253 + right);
        bool new = true;
        for (size_t k = 0; k < i; k++)
            new &= merges[k] != pair;
        if (new)
            merges[i++] = pair;
    }
    assert_ok(mr_tokenizer_from_merges(&t, merges, count));
    return t;
}

/* The definition: again and again the leftmost of the pairs whose merge comes first. */
static size_t merge_plainly(const mr_tokenizer *t, uint32_t *id, size_t count)
{
    json_t *json = mr_tokenizer_to_json(t), *list = json_object_get(json, "merges");
    for (;;) {
        size_t best = json_array_size(list), place = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            char text[32];
            snprintf(text, sizeof text, "%u %u", id[i], id[i + 1]);
            for (size_t m = 0; m < best; m++)
                if (!strcmp(json_string_value(json_array_get(list, m)), text)) {
                    best = m;
                    place = i;
                }
        }
        if (best == json_array_size(list))
            break;
        id[place] = 256 + (uint32_t)best;
        count--;
        memmove(id + place + 1, id + place + 2, (count - place - 1) * sizeof *id);
    }
    json_decref(json);
    return count;
}

static void test_merging_is_as_defined(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        mr_tokenizer *t = random_merges(round, 20);
        uint32_t seed = round * 3 + 1;
        size_t size = 1 + test_random(&seed) % 90; /* short and long words */
        char text[90];
        uint32_t want[90];
        struct mr_ids ids = {0};
        for (size_t i = 0; i < size; i++)
            want[i] = (uint32_t)(text[i] = (char)('a' + test_random(&seed) % 3));
        assert_ok(mr_tokenizer_encode(t, text, size, false, &ids));
        size_t count = merge_plainly(t, want, size);
        if (ids.count != count || memcmp(ids.id, want, count * sizeof *want))
            fail_msg("round %u: a word of %zu letters gives other ids", round, size);
        mr_ids_free(&ids);
        mr_tokenizer_close(t);
    }
}

static void test_words_of_millions_of_bytes(void **state)
{
    (void)state;
    size_t size = 2000000;
    char *text = malloc(size);
    uint32_t seed = 5;
    mr_tokenizer *t = random_merges(3, 150);
    memset(text, 'a', size);
    expect_round_trip(t, text, size);
    expect_streaming(t, text, size, false, 100000);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + test_random(&seed) % 3);
    expect_round_trip(t, text, size);
    memset(text, ' ', size);
    expect_round_trip(t, text, size);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)test_random(&seed);
    expect_round_trip(t, text, size);
    mr_tokenizer_close(t);
    free(text);
}

static void test_whole_words_before_merges(void **state)
{
    (void)state;
    struct mr_bpe b = {0};
    mr_bpe_scratch *room;
    struct mr_ids ids = {0};
    json_t *vocab = test_vocab(), *merges = test_merge_list();
    json_object_set_new(vocab, "bba", json_integer(300));
    assert_ok(mr_bpe_from_json(&b, vocab, merges));
    assert_ok(mr_bpe_scratch_open(&room));
    assert_ok(mr_bpe_encode(&b, room, "bba", 3, 0, &ids));
    assert_int_equal(ids.count, 3);
    assert_ok(mr_bpe_use_whole_words(&b));
    assert_ok(mr_bpe_encode(&b, room, "bba", 3, 0, &ids));
    assert_int_equal(ids.count, 4);
    assert_int_equal(ids.id[3], 300);
    assert_ok(mr_bpe_encode(&b, room, "bbab", 4, 0, &ids));
    assert_int_equal(ids.count, 7);
    mr_ids_free(&ids);
    mr_bpe_scratch_close(room);
    mr_bpe_free(&b);
    json_decref(vocab);
    json_decref(merges);
}

/* ---- training ------------------------------------------------------------------------------------------ */

static mr_tokenizer *train(const char *text, size_t size, int64_t tokens, size_t piece)
{
    mr_bpe_trainer *trainer;
    mr_tokenizer *t;
    assert_ok(mr_bpe_trainer_open(&trainer, tokens));
    for (size_t at = 0; at < size; at += piece)
        assert_ok(mr_bpe_trainer_feed(trainer, text + at, piece < size - at ? piece : size - at));
    assert_ok(mr_bpe_trainer_finish(trainer));
    assert_ok(mr_bpe_trainer_tokenizer(trainer, &t));
    mr_bpe_trainer_close(trainer);
    return t;
}

static void test_the_most_frequent_pair_comes_first(void **state)
{
    (void)state;
    const char *text = "the then them. xyxyxy xyxy";
    mr_tokenizer *t = train(text, strlen(text), 262, 100);
    const char *bytes;
    size_t size;
    /* " t", "th" 2 and 3; "he" 3; "xy" 5 of two words: counts 1*3+1*2; then "the" */
    assert_int_equal(mr_tokenizer_vocab_size(t), 262);
    assert_ok(mr_tokenizer_decode(t, 256, &bytes, &size));
    assert_int_equal(size, 2);
    assert_memory_equal(bytes, "xy", 2);
    assert_ok(mr_tokenizer_decode(t, 257, &bytes, &size)); /* equal counts: the smaller ids */
    assert_memory_equal(bytes, "he", 2);
    assert_ok(mr_tokenizer_decode(t, 258, &bytes, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "the", 3);
    assert_int_equal(mr_tokenizer_end(t), 261);
    expect_round_trip(t, text, strlen(text));
    mr_tokenizer_close(t);
}

static void test_training_does_not_depend_on_the_pieces(void **state)
{
    (void)state;
    size_t size = 60000;
    char *text = test_text(2, &size, false);
    mr_tokenizer *t = train(text, size, 300, size);
    for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
        mr_tokenizer *again = train(text, size, 300, piece);
        assert_true(mr_tokenizer_equal(t, again));
        mr_tokenizer_close(again);
    }
    mr_tokenizer_close(t);
    memset(text, 'a', size); /* words are cut after 256 bytes, wherever the pieces end */
    t = train(text, size, 300, size);
    mr_tokenizer *again = train(text, size, 300, 77);
    assert_true(mr_tokenizer_equal(t, again));
    mr_tokenizer_close(again);
    mr_tokenizer_close(t);
    free(text);
}

static void test_trained_tokenizers_have_good_manners(void **state)
{
    (void)state;
    size_t size = 60000;
    char *text = test_text(2, &size, false);
    mr_tokenizer *t = train(text, size, 320, size);
    struct mr_ids ids = {0};
    expect_good_manners(t, false);
    expect_round_trip(t, text, size);
    assert_ok(mr_tokenizer_encode(t, text, size, false, &ids));
    assert_true(ids.count < size / 2);
    EXPECT_IDS(t, MR_END_OF_TEXT, true, (uint32_t)mr_tokenizer_end(t));
    mr_ids_free(&ids);
    mr_tokenizer_close(t);
    free(text);
}

static void test_training_ends_when_nothing_stands_twice(void **state)
{
    (void)state;
    mr_tokenizer *t = train("abcabc", 6, 5000, 6);
    assert_int_equal(mr_tokenizer_vocab_size(t), 256 + 2 + 1); /* ab, abc */
    mr_tokenizer_close(t);
}

static void test_sizes_that_cannot_be_trained(void **state)
{
    (void)state;
    mr_bpe_trainer *trainer;
    assert_fails(MR_EINVAL, "257", mr_bpe_trainer_open(&trainer, 256));
    assert_fails(MR_EINVAL, "not -1", mr_bpe_trainer_open(&trainer, -1));
    assert_fails(MR_EINVAL, "1048576", mr_bpe_trainer_open(&trainer, (int64_t)1 << 40));
}

static void test_rare_words_go_when_room_is_short(void **state)
{
    (void)state;
    struct mr_word_counts w = {.limit = 10000};
    for (int i = 0; i < 20000; i++) {
        char word[16];
        assert_ok(mr_word_counts_add(&w, word, (size_t)snprintf(word, sizeof word, "rare%d", i)));
        assert_ok(mr_word_counts_add(&w, "often", 5));
        assert_true(w.bytes.size <= 10000);
    }
    bool found = false;
    for (size_t i = 0; i < w.count; i++)
        if (w.word[i].size == 5 && !memcmp(w.bytes.text + w.word[i].at, "often", 5)) {
            assert_int_equal(w.word[i].count, 20000);
            found = true;
        }
    assert_true(found);
    mr_word_counts_free(&w);
}

static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    static const char *const damaged[][2] = {
        {"{", "not valid JSON"},
        {"{\"kind\":\"char\",\"format\":1,\"merges\":[],\"end\":256}", "\"char\""},
        {"{\"kind\":\"bpe\",\"format\":2,\"merges\":[],\"end\":256}", "newer"},
        {"{\"kind\":\"bpe\",\"format\":1,\"end\":256}", "\"merges\" is missing"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 2\",\"3\"],\"end\":258}", "merge 2"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 -2\"],\"end\":257}", "merge 1"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 2 3\"],\"end\":257}", "merge 1"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 256\"],\"end\":257}", "token 256 is not defined"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 99999999999\"],\"end\":257}", "merge 1"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 2\",\"1 2\"],\"end\":258}", "already merged"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[7],\"end\":257}", "merge 1"},
        {"{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"1 2\"],\"end\":256}", "must be 257"},
    };
    mr_tokenizer *t;
    char spec[300];
    for (size_t i = 0; i < COUNT(damaged); i++) {
        snprintf(spec, sizeof spec, "bpe:%s", test_write("bad.json", damaged[i][0]));
        assert_fails(MR_EFILE, damaged[i][1], mr_tokenizer_open(&t, spec));
        assert_non_null(strstr(mr_error_text(), "bad.json"));
        assert_null(t);
    }
    struct mr_str doubling = {0}; /* each token twice the one before */
    assert_ok(mr_str_printf(&doubling, "{\"kind\":\"bpe\",\"format\":1,\"merges\":[\"97 97\""));
    for (int i = 0; i < 60; i++)
        assert_ok(mr_str_printf(&doubling, ",\"%d %d\"", 256 + i, 256 + i));
    assert_ok(mr_str_printf(&doubling, "],\"end\":317}"));
    snprintf(spec, sizeof spec, "bpe:%s", test_write("long.json", doubling.text));
    assert_fails(MR_EFILE, "more than 65536 bytes", mr_tokenizer_open(&t, spec));
    mr_str_free(&doubling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merging_is_as_defined),
        cmocka_unit_test(test_words_of_millions_of_bytes),
        cmocka_unit_test(test_whole_words_before_merges),
        cmocka_unit_test(test_the_most_frequent_pair_comes_first),
        cmocka_unit_test(test_training_does_not_depend_on_the_pieces),
        cmocka_unit_test(test_trained_tokenizers_have_good_manners),
        cmocka_unit_test(test_training_ends_when_nothing_stands_twice),
        cmocka_unit_test(test_sizes_that_cannot_be_trained),
        cmocka_unit_test(test_rare_words_go_when_room_is_short),
        cmocka_unit_test(test_damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
