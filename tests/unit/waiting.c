/* SPDX-License-Identifier: GPL-3.0-or-later
 * Draws from the largest logits alone, which the device chooses: the same tokens as from whole rows, whatever is done
 * to the sequences in between. */
#include "model_test.h"

#include <math.h>

#include "infer/lm.h"

enum { SEQUENCES = 4, VOCAB = 6000, STEPS = 12 };

static const char *const config = "{\"n_layer\": 1, \"n_embd\": 32, \"vocab_size\": 6000}";
static mr_runtime *rt;
static mr_lm *lm;
static mr_sequence *s[SEQUENCES];
static const int32_t prompts[SEQUENCES][3] = {{1, 2, 3}, {40, 50, 60}, {5999, 0, 77}, {9, 9, 9}};

static int open_device(void **test)
{
    struct mr_lm_options options;
    (void)test;
    mr_lm_defaults(&options, sizeof options);
    options.sequences = SEQUENCES;
    assert_ok(mr_runtime_open(&rt, NULL));
    return mr_lm_open(&lm, rt, test_write_model("rwkv4-169m", config, 1), &options);
}

static int close_device(void **test)
{
    mr_lm_close(lm);
    mr_runtime_close(rt);
    return test_cleanup(test);
}

static int open_sequences(void **test)
{
    (void)test;
    for (int i = 0; i < SEQUENCES; i++) {
        assert_ok(mr_sequence_open(&s[i], lm));
        assert_ok(mr_sequence_feed(s[i], prompts[i], 3));
    }
    return 0;
}

static int close_sequences(void **test)
{
    (void)test;
    for (int i = 0; i < SEQUENCES; i++)
        mr_sequence_close(s[i]);
    return 0;
}

static struct mr_sampling sampling(float temperature, int top_k)
{
    struct mr_sampling how;
    mr_sampling_defaults(&how, sizeof how);
    how.temperature = temperature;
    how.top_k = top_k;
    return how;
}

static void next(int i, const struct mr_sampling *how, int32_t *id)
{
    assert_int_equal(mr_sequence_next(s[i], how, id), 1);
}

/* What the sequence would draw, each time from the whole row. */
static void draw_whole(int i, const struct mr_sampling *how, int32_t *ids, int count)
{
    mr_sampler *sampler;
    const float *logits;
    assert_ok(mr_sampler_create(&sampler, VOCAB));
    for (int n = 0; n < count; n++) {
        assert_ok(mr_sequence_logits(s[i], &logits));
        ids[n] = mr_sampler_draw(sampler, how, logits, (uint64_t)n);
        assert_ok(mr_sequence_feed(s[i], &ids[n], 1));
    }
    mr_sampler_free(sampler);
    assert_ok(mr_sequence_rewind(s[i]));
    assert_ok(mr_sequence_feed(s[i], prompts[i], 3));
}

static void test_draws_are_those_of_whole_rows(void **test)
{
    (void)test;
    const struct mr_sampling how[] = {sampling(0, 200), sampling(1, 200), sampling(2, 1), sampling(1, 1024),
                                      sampling(1, 1025)};
    int32_t want[STEPS], id;
    for (size_t h = 0; h < COUNT(how); h++) {
        draw_whole(0, &how[h], want, STEPS);
        for (int n = 0; n < STEPS; n++) {
            assert_int_equal(s[0]->row, n ? 0 : -1); /* what the step left is still on the device */
            next(0, &how[h], &id);
            assert_int_equal(id, want[n]);
        }
        const struct mr_sampling other = sampling(0, 0);
        assert_int_equal(mr_waiting_needs(lm, &how[h]), h == 4 ? 0 : h == 0 || h == 2 ? 1 : how[h].top_k);
        next(0, &other, &id);
        assert_ok(mr_sequence_rewind(s[0]));
        assert_ok(mr_sequence_feed(s[0], prompts[0], 3));
    }
}

static void test_options_may_differ_within_a_call(void **test)
{
    (void)test;
    const struct mr_sampling with[][SEQUENCES] = {
        {sampling(0, 0), sampling(1, 7), sampling(1, 300), sampling(2, 40)},
        {sampling(0, 0), sampling(1, 0), sampling(1, 300), sampling(2, 2000)},
    };
    int32_t want[SEQUENCES][STEPS], ids[SEQUENCES];
    int more[SEQUENCES];
    for (size_t h = 0; h < COUNT(with); h++) {
        for (int i = 0; i < SEQUENCES; i++)
            draw_whole(i, &with[h][i], want[i], STEPS);
        for (int n = 0; n < STEPS; n++) {
            assert_ok(mr_sequences_next(s, with[h], ids, more, SEQUENCES));
            for (int i = 0; i < SEQUENCES; i++)
                assert_int_equal(ids[i], want[i][n]);
        }
        close_sequences(test);
        open_sequences(test);
    }
}

/* Steps of some overwrite what others left on the device. */
static void test_sequences_do_not_disturb_each_other(void **test)
{
    (void)test;
    const struct mr_sampling how = sampling(1, 50);
    int32_t want[SEQUENCES][STEPS], id;
    for (int i = 0; i < SEQUENCES; i++)
        draw_whole(i, &how, want[i], STEPS);
    for (int n = 0; n < STEPS; n++)
        for (int i = 0; i < 3; i++) {
            next(i, &how, &id);
            assert_int_equal(id, want[i][n]);
            if (n == 4)
                assert_ok(mr_sequence_feed(s[3], prompts[1], 3));
        }
}

/* After a step: the logits, a copy and a saved state are those of the sequence, and it goes on as if nothing was. */
static void test_rows_are_fetched_where_they_are_needed(void **test)
{
    (void)test;
    const struct mr_sampling how = sampling(1, 50);
    const float *logits, *fed;
    int32_t want[STEPS], id;
    draw_whole(0, &how, want, STEPS);
    for (int n = 0; n < STEPS - 1; n++) {
        next(0, &how, &id);
        assert_int_equal(id, want[n]);
        if (n % 4 == 0) {
            assert_ok(mr_sequence_copy(s[1], s[0]));
            next(1, &how, &id);
            assert_int_equal(id, want[n + 1]);
        } else if (n % 4 == 1) {
            assert_ok(mr_sequence_save(s[0], test_path("state")));
            assert_ok(mr_sequence_restore(s[1], test_path("state")));
            next(1, &how, &id);
            assert_int_equal(id, want[n + 1]);
        } else if (n % 4 == 2) {
            assert_ok(mr_sequence_rewind(s[1]));
            assert_ok(mr_sequence_feed(s[1], prompts[0], 3));
            for (int k = 0; k <= n; k++)
                assert_ok(mr_sequence_feed(s[1], &want[k], 1));
            assert_ok(mr_sequence_logits(s[0], &logits));
            assert_ok(mr_sequence_logits(s[1], &fed));
            assert_memory_equal(logits, fed, VOCAB * sizeof *logits);
        } else {
            mr_sequence_close(s[2]); /* its row, too, was on the device */
            assert_ok(mr_sequence_open(&s[2], lm));
            assert_ok(mr_sequence_feed(s[2], prompts[2], 3));
            next(2, &how, &id);
        }
    }
}

/* Of either sign, far from the largest. The sequence is of use again after a rewind. */
static void test_a_logit_that_is_no_number_is_found(void **test)
{
    (void)test;
    const struct mr_sampling how = sampling(1, 50);
    int32_t id;
    for (int negative = 0; negative < 2; negative++) {
        const float wrong = negative ? -NAN : NAN;
        next(0, &how, &id);
        assert_ok(mr_write(rt, &lm->ws->logits, 4321, 1, &wrong));
        assert_fails(MR_ENUMERIC, "not finite", mr_sequence_next(s[0], &how, &id));
        assert_fails(MR_EINVAL, "lost its text", mr_sequence_next(s[0], &how, &id));
        assert_ok(mr_sequence_rewind(s[0]));
        assert_ok(mr_sequence_feed(s[0], prompts[0], 3));
    }
}

static void test_ranked_draws_are_those_of_whole_rows_with_ties(void **test)
{
    (void)test;
    enum { N = 500 };
    float logits[N], ranked[N];
    int32_t ids[N];
    mr_sampler *sampler;
    assert_ok(mr_sampler_create(&sampler, N));
    for (int i = 0; i < N; i++)
        logits[i] = (float)(i * 7919 % 13) / 4 - (i % 2 ? 0.0f : -0.0f);
    for (int k = 1; k < N; k = 2 * k + 1) {
        const struct mr_sampling how = sampling(1.5f, k);
        int count = 0;
        for (int level = 12; level >= 0; level--)
            for (int i = 0; i < N; i++)
                if (i * 7919 % 13 == level) {
                    ids[count] = i;
                    ranked[count++] = logits[i];
                }
        for (uint64_t draw = 0; draw < 200; draw++)
            assert_int_equal(mr_sampler_draw_ranked(sampler, &how, ranked, ids, k, draw),
                             mr_sampler_draw(sampler, &how, logits, draw));
    }
    mr_sampler_free(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_draws_are_those_of_whole_rows, open_sequences, close_sequences),
        cmocka_unit_test_setup_teardown(test_options_may_differ_within_a_call, open_sequences, close_sequences),
        cmocka_unit_test_setup_teardown(test_sequences_do_not_disturb_each_other, open_sequences, close_sequences),
        cmocka_unit_test_setup_teardown(test_rows_are_fetched_where_they_are_needed, open_sequences, close_sequences),
        cmocka_unit_test_setup_teardown(test_a_logit_that_is_no_number_is_found, open_sequences, close_sequences),
        cmocka_unit_test(test_ranked_draws_are_those_of_whole_rows_with_ties),
    };
    return cmocka_run_group_tests_name("waiting", tests, open_device, close_device);
}
