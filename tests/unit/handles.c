/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the public header promises of handles: as they were after an error of arguments, of use again after any other
 * error; options that limit, tell and stop; a log of their own. */
#include "model_test.h"

#include "infer/lm.h"
#include "rt/internal.h"

enum { SEQUENCES = 3, VOCAB = 260, LONG = 1000 };

static const char *const config = "{\"n_layer\": 2, \"n_embd\": 32, \"vocab_size\": 260}";
static mr_runtime *rt;
static char *model;
static int32_t text[LONG];

static int open_device(void **test)
{
    (void)test;
    for (int i = 0; i < LONG; i++)
        text[i] = (i * 37 + i / 7) % 250;
    model = strdup(test_write_model("rwkv4-169m", config, 1));
    return mr_runtime_open(&rt, NULL);
}

static int close_device(void **test)
{
    free(model);
    mr_runtime_close(rt);
    return test_cleanup(test);
}

/* What the callback was told, and the call from which on it says no. */
struct told {
    int calls, stop;
    double last;
};

static int tell(void *context, double part)
{
    struct told *told = context;
    assert_true(part >= 0 && part <= 1);
    told->last = part;
    return ++told->calls >= told->stop;
}

static mr_lm *open_model(struct told *told)
{
    mr_lm *lm;
    struct mr_lm_options options;
    mr_lm_defaults(&options, sizeof options);
    options.sequences = SEQUENCES;
    options.tokenizer = "byte";
    options.progress = told ? tell : NULL;
    options.context = told;
    assert_ok(mr_lm_open(&lm, rt, model, &options));
    return lm;
}

static mr_sequence *open_sequence(mr_lm *lm, int tokens)
{
    mr_sequence *s;
    assert_ok(mr_sequence_open(&s, lm));
    assert_ok(mr_sequence_feed(s, text, tokens));
    return s;
}

/* The next ten tokens drawn. */
static void draw(mr_sequence *s, int32_t ids[10])
{
    struct mr_sampling how;
    mr_sampling_defaults(&how, sizeof how);
    for (int i = 0; i < 10; i++)
        assert_int_equal(mr_sequence_next(s, &how, &ids[i]), 1);
}

static void assert_same(mr_sequence *a, mr_sequence *b)
{
    int32_t x[10], y[10];
    assert_int_equal(mr_sequence_position(a), mr_sequence_position(b));
    draw(a, x);
    draw(b, y);
    assert_memory_equal(x, y, sizeof x);
}

static void test_wrong_arguments_change_nothing(void **test)
{
    (void)test;
    mr_lm *lm = open_model(NULL);
    mr_sequence *s = open_sequence(lm, 5), *other = open_sequence(lm, 5), *same = open_sequence(lm, 5);
    const int32_t wrong[] = {1, 2, VOCAB}, negative = -1;
    mr_sequence *twice[] = {s, s};
    struct mr_sampling how[2];
    int32_t ids[2];
    int more[2];
    mr_sampling_defaults(&how[0], sizeof how[0]);
    mr_sampling_defaults(&how[1], sizeof how[1]);
    assert_fails(MR_EINVAL, "outside the vocabulary", mr_sequence_feed(s, wrong, 3));
    assert_fails(MR_EINVAL, "outside the vocabulary", mr_sequence_feed(s, &negative, 1));
    const struct mr_feed second_wrong[] = {{s, text, 4}, {other, wrong, 3}};
    assert_fails(MR_EINVAL, "outside the vocabulary", mr_sequences_feed(second_wrong, 2));
    assert_fails(MR_EINVAL, "twice", mr_sequences_feed((struct mr_feed[]){{s, text, 4}, {s, text, 1}}, 2));
    assert_fails(MR_EINVAL, "twice", mr_sequences_next(twice, how, ids, more, 2));
    how[1].temperature = -1;
    assert_true(mr_sequences_next((mr_sequence *[]){s, other}, how, ids, more, 2) == MR_EINVAL);
    assert_true(mr_sequence_restore(s, "/no/such/file") == MR_EFILE);
    assert_true(mr_sequence_set_state(s, "nonsense", 8) == MR_EFILE);
    mr_sequence *fourth;
    assert_fails(MR_ENOMEM, "3 sequences", mr_sequence_open(&fourth, lm));
    assert_same(s, same);
    mr_sequence_close(same);
    mr_sequence_close(other);
    mr_sequence_close(s);
    mr_lm_close(lm);
}

static void assert_refuses_all(mr_sequence *s, mr_sequence *other)
{
    struct mr_sampling how;
    const float *logits;
    int32_t id;
    char *bytes = malloc(mr_sequence_state_size(s));
    mr_sampling_defaults(&how, sizeof how);
    assert_fails(MR_EINVAL, "lost its", mr_sequence_next(s, &how, &id));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_feed(s, text, 1));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_prompt(s, "a", 1));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_logits(s, &logits));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_state(s, bytes));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_save(s, test_path("never")));
    assert_fails(MR_EINVAL, "lost its", mr_sequence_copy(other, s));
    assert_fails(MR_EINVAL, "lost its", mr_sequences_feed((struct mr_feed[]){{other, text, 1}, {s, text, 1}}, 2));
    free(bytes);
}

static void test_a_stopped_prompt_loses_its_text_and_only_its(void **test)
{
    (void)test;
    struct told told = {.stop = 1 << 30};
    mr_lm *lm = open_model(&told);
    mr_sequence *s = open_sequence(lm, 3), *other = open_sequence(lm, 5), *same = open_sequence(lm, 5);
    assert_ok(mr_sequence_save(same, test_path("state")));
    for (int way = 0; way < 3; way++) {
        told = (struct told){.stop = 2};
        assert_fails(MR_EINTERRUPTED, "stopped", mr_sequence_feed(s, text, LONG));
        assert_int_equal(told.calls, 2);
        assert_true(told.last == 512.0 / LONG);
        told.stop = 1 << 30;
        assert_refuses_all(s, other);
        if (way == 0) {
            assert_ok(mr_sequence_rewind(s));
            assert_int_equal(mr_sequence_position(s), 0);
            assert_ok(mr_sequence_feed(s, text, 5));
        } else if (way == 1) {
            assert_ok(mr_sequence_restore(s, test_path("state")));
        } else {
            assert_ok(mr_sequence_copy(s, other));
        }
        assert_same(s, same);
        assert_ok(mr_sequence_restore(same, test_path("state")));
    }
    assert_same(other, same);
    mr_sequence_close(same);
    mr_sequence_close(other);
    mr_sequence_close(s);
    mr_lm_close(lm);
}

static void test_tokenizing_stops_and_changes_nothing(void **test)
{
    (void)test;
    struct told told = {.stop = 1 << 30};
    mr_lm *lm = open_model(&told);
    mr_sequence *s = open_sequence(lm, 5), *same = open_sequence(lm, 5);
    size_t size = 1 << 20;
    char *words = malloc(size);
    memset(words, 'a', size);
    told = (struct told){.stop = 1};
    assert_fails(MR_EINTERRUPTED, "tokenizing", mr_sequence_prompt(s, words, size));
    assert_int_equal(told.calls, 1);
    told.stop = 1 << 30;
    assert_same(s, same);
    free(words);
    mr_sequence_close(same);
    mr_sequence_close(s);
    mr_lm_close(lm);
}

static void test_a_failure_of_memory_or_device_loses_the_text(void **test)
{
    (void)test;
    mr_lm *lm = open_model(NULL);
    mr_sequence *s = open_sequence(lm, 3), *other = open_sequence(lm, 5), *same = open_sequence(lm, 5);
    mr_tensor kept = lm->ws->tokens; /* without it nothing can be uploaded */
    lm->ws->tokens = (mr_tensor){0};
    assert_true(mr_sequence_feed(s, text, 4) < 0);
    lm->ws->tokens = kept;
    assert_refuses_all(s, other);
    assert_same(other, same);
    assert_ok(mr_sequence_rewind(s));
    assert_ok(mr_sequence_feed(s, text, 5));
    assert_ok(mr_sequence_rewind(other));
    assert_ok(mr_sequence_feed(other, text, 5));
    assert_same(s, other);
    mr_sequence_close(same);
    mr_sequence_close(other);
    mr_sequence_close(s);
    mr_lm_close(lm);
}

static void test_reading_weights_is_told_and_stopped(void **test)
{
    (void)test;
    mr_lm *lm = NULL;
    struct mr_lm_options options;
    struct told told = {.stop = 1 << 30};
    size_t before, after;
    lm = open_model(&told);
    assert_true(told.calls > 10 && told.last > 0.5);
    mr_lm_close(lm);
    lm = NULL;
    mr_lm_defaults(&options, sizeof options);
    told = (struct told){.stop = 7};
    options.progress = tell;
    options.context = &told;
    mr_device_bytes(rt, &before, NULL);
    assert_fails(MR_EINTERRUPTED, "reading the weights", mr_lm_open(&lm, rt, model, &options));
    mr_device_bytes(rt, &after, NULL);
    assert_int_equal(told.calls, 7);
    assert_int_equal(before, after);
    assert_null(lm);
}

static void test_memory_limit_is_kept_to_the_byte(void **test)
{
    (void)test;
    struct mr_lm_options options;
    size_t before, used, after;
    mr_lm *lm = NULL;
    mr_lm_defaults(&options, sizeof options);
    mr_device_bytes(rt, &before, NULL);
    assert_ok(mr_lm_open(&lm, rt, model, &options));
    mr_device_bytes(rt, &used, NULL);
    mr_lm_close(lm);
    lm = NULL;
    options.memory_limit = used - before;
    assert_ok(mr_lm_open(&lm, rt, model, &options));
    mr_lm_close(lm);
    lm = NULL;
    options.memory_limit--;
    assert_fails(MR_ENOMEM, "limit", mr_lm_open(&lm, rt, model, &options));
    assert_null(lm);
    options.memory_limit++;
    options.precision = "q8_0"; /* is smaller, so that more sequences fit */
    options.sequences = 2;
    assert_ok(mr_lm_open(&lm, rt, model, &options));
    mr_lm_close(lm);
    mr_device_bytes(rt, &after, NULL);
    assert_int_equal(before, after);
}

static void count(void *context, enum mr_log_level level, const char *line)
{
    int *counts = context;
    (void)line;
    counts[level == MR_LOG_WARNING]++;
}

static void test_a_runtime_has_its_own_log(void **test)
{
    (void)test;
    int all[2] = {0}, own[2] = {0};
    mr_lm *lm;
    size_t memory = rt->info.memory;
    bool shares = rt->info.shares_host_memory;
    rt->info.memory = 1; /* reason for a warning */
    rt->info.shares_host_memory = true;
    mr_set_log(count, all);
    assert_ok(mr_lm_open(&lm, rt, model, NULL));
    mr_lm_close(lm);
    assert_true(all[1] > 0);
    all[1] = 0;
    mr_runtime_set_log(rt, count, own);
    assert_ok(mr_lm_open(&lm, rt, model, NULL));
    mr_lm_close(lm);
    assert_true(own[1] > 0 && all[1] == 0);
    mr_log(MR_LOG_WARNING, "of nobody's runtime");
    assert_int_equal(all[1], 1);
    mr_runtime_set_log(rt, NULL, NULL);
    mr_set_log(NULL, NULL);
    rt->info.memory = memory;
    rt->info.shares_host_memory = shares;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_arguments_change_nothing),
        cmocka_unit_test(test_a_stopped_prompt_loses_its_text_and_only_its),
        cmocka_unit_test(test_tokenizing_stops_and_changes_nothing),
        cmocka_unit_test(test_a_failure_of_memory_or_device_loses_the_text),
        cmocka_unit_test(test_reading_weights_is_told_and_stopped),
        cmocka_unit_test(test_memory_limit_is_kept_to_the_byte),
        cmocka_unit_test(test_a_runtime_has_its_own_log),
    };
    return cmocka_run_group_tests_name("handles", tests, open_device, close_device);
}
