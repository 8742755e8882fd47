/* SPDX-License-Identifier: GPL-3.0-or-later
 * Saved states that were altered on purpose, with a checksum that is right. */
#include "model_test.h"

#include <math.h>
#include <xxhash.h>

#include "base/file.h"
#include "infer/lm.h"

enum { HEAD = 48, CHECKSUM = 8, MODEL = 16, COUNT_AT = 24 }; /* of state_file.c's struct state_head */

static const char *const configs[] = {
    "{\"n_layer\": 1, \"n_embd\": 8, \"n_head\": 2, \"groups\": 2, \"vocab_size\": 7, \"block_size\": 6, "
    "\"window\": 3,"
    " \"num_experts\": 1, \"num_active_experts\": 1, \"expert_dim\": 4, \"positions\": \"none\"}",
    "{\"n_layer\": 1, \"n_embd\": 8, \"n_head\": 2, \"groups\": 2, \"vocab_size\": 7, \"block_size\": 6, "
    "\"window\": 3,"
    " \"num_experts\": 1, \"num_active_experts\": 1, \"expert_dim\": 4, \"positions\": \"learned\"}",
};

static void overwrite_state(struct mr_str *state)
{
    uint64_t sum = XXH3_64bits(state->text + MODEL, state->size - MODEL);
    memcpy(state->text + CHECKSUM, &sum, sizeof sum);
    assert_ok(mr_file_write(test_path("altered"), state->text, state->size));
}

/* Restores the state; where that is accepted, the sequence goes on or says why not. */
static void try_state(mr_sequence *s, struct mr_str *state)
{
    struct mr_sampling sampling;
    int32_t id = 0;
    overwrite_state(state);
    assert_ok(mr_sequence_rewind(s));
    int err = mr_sequence_restore(s, test_path("altered"));
    if (err && (err != MR_EFILE || !strstr(mr_error_text(), "state")))
        fail_msg("error %d: %s", err, mr_error_text());
    mr_sampling_defaults(&sampling, sizeof sampling);
    for (int i = 0; i < 8 && !err; i++) {
        err = mr_sequence_next(s, &sampling, &id);
        assert_true(err >= 0 || err == MR_EINVAL || err == MR_ENUMERIC);
        assert_true(err < 0 || (id >= 0 && id < 7));
        err = err < 0 ? err : 0;
    }
}

static mr_runtime *rt;
static mr_lm *lm;

static int open_device(void **test)
{
    (void)test;
    return mr_runtime_open(&rt, NULL);
}

static int close_device(void **test)
{
    mr_runtime_close(rt);
    return test_cleanup(test);
}

static void open_session(mr_sequence **s, const char *config, struct mr_str *state)
{
    const int32_t tokens[] = {1, 6, 2, 0};
    assert_ok(mr_lm_open(&lm, rt, test_write_model("microrwkv", config, 1), NULL));
    assert_ok(mr_sequence_open(s, lm));
    assert_ok(mr_sequence_feed(*s, tokens, 4));
    assert_ok(mr_sequence_save(*s, test_path("state")));
    assert_ok(mr_file_read(test_path("state"), 1 << 20, state));
}

static void test_altered_states_are_survived(void **test)
{
    (void)test;
    uint32_t seed = 1;
    for (size_t c = 0; c < COUNT(configs); c++) {
        struct mr_str state = {0};
        mr_sequence *s;
        open_session(&s, configs[c], &state);
        for (int round = 0; round < 150; round++) {
            char kept[sizeof(uint64_t)];
            seed = seed * 1664525u + 1013904223u;
            /* one after the other all numbers of the head, then anything behind it */
            size_t at = round < 60 ? MODEL + (size_t)(round % 10) * 4 : HEAD + (seed >> 8) % (state.size - HEAD - 8);
            memcpy(kept, state.text + at, sizeof kept);
            uint64_t value = round & 1 ? UINT64_MAX >> (seed >> 28) : (uint64_t)seed << 31 | seed;
            memcpy(state.text + at, &value, sizeof value);
            try_state(s, &state);
            memcpy(state.text + at, kept, sizeof kept);
        }
        assert_ok(mr_sequence_rewind(s));
        assert_ok(mr_sequence_restore(s, test_path("state")));
        assert_int_equal(mr_sequence_position(s), 4);
        mr_sequence_close(s);
        mr_lm_close(lm);
        mr_str_free(&state);
    }
}

static void test_a_position_that_is_not_the_number_of_tokens_is_refused(void **test)
{
    (void)test;
    struct mr_str state = {0};
    mr_sequence *s;
    int64_t position;
    open_session(&s, configs[0], &state);
    memcpy(&position, state.text + HEAD, sizeof position);
    assert_int_equal(position, 4);
    for (int i = 0; i < 3; i++) {
        position = i == 0 ? 5 : i == 1 ? INT64_MAX : INT64_MIN;
        memcpy(state.text + HEAD, &position, sizeof position);
        overwrite_state(&state);
        assert_true(mr_sequence_restore(s, test_path("altered")) < 0);
    }
    position = INT64_MAX; /* both of them */
    memcpy(state.text + COUNT_AT, &position, sizeof position);
    memcpy(state.text + HEAD, &position, sizeof position);
    overwrite_state(&state);
    assert_fails(MR_EFILE, "do not fit", mr_sequence_restore(s, test_path("altered")));
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_str_free(&state);
}

/* A penalty acts on what is drawn, never on the logits that are kept and saved. */
static void test_a_penalty_does_not_change_the_kept_logits(void **test)
{
    (void)test;
    struct mr_str state = {0};
    mr_sequence *s;
    struct mr_sampling sampling;
    const float *logits;
    float before[7];
    int32_t id;
    open_session(&s, configs[0], &state);
    mr_sampling_defaults(&sampling, sizeof sampling);
    sampling.repetition_penalty = 3;
    assert_ok(mr_sequence_logits(s, &logits));
    memcpy(before, logits, sizeof before);
    mr_sampler_draw(s->sampler, &sampling, s->logits, 0);
    assert_memory_equal(before, logits, sizeof before);
    assert_int_equal(mr_sequence_next(s, &sampling, &id), 1);
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_str_free(&state);
}

/* Continuing from a state draws what would have been drawn without it. */
static void test_counts_of_drawn_tokens_are_kept(void **test)
{
    (void)test;
    enum { ALL = 40, FIRST = 17 };
    struct mr_str state = {0};
    struct mr_sampling sampling;
    mr_sequence *s;
    int32_t whole[ALL], id;
    mr_sampling_defaults(&sampling, sizeof sampling);
    sampling.temperature = 0;
    sampling.presence_penalty = 0.01f;
    sampling.frequency_penalty = 0.02f;
    sampling.penalty_decay = 0.9f;
    open_session(&s, configs[0], &state);
    for (int i = 0; i < ALL; i++) {
        if (i == FIRST)
            assert_ok(mr_sequence_save(s, test_path("state")));
        assert_int_equal(mr_sequence_next(s, &sampling, &whole[i]), 1);
    }
    assert_ok(mr_sequence_rewind(s));
    assert_ok(mr_sequence_restore(s, test_path("state")));
    for (int i = FIRST; i < ALL; i++) {
        assert_int_equal(mr_sequence_next(s, &sampling, &id), 1);
        assert_int_equal(id, whole[i]);
    }
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_str_free(&state);
}

static void test_impossible_counts_are_refused(void **test)
{
    (void)test;
    static const struct mr_drawn wrong[] = {{7, 1}, {-1, 1}, {0, NAN}, {0, -1}, {0, INFINITY}};
    struct mr_str state = {0};
    mr_sequence *s;
    size_t count;
    open_session(&s, configs[0], &state);
    size_t whole = state.size;
    for (size_t i = 0; i <= COUNT(wrong); i++) {
        state.size = whole;
        assert_ok(mr_str_append(&state, i < COUNT(wrong) ? &wrong[i] : &(struct mr_drawn){6, 1}, sizeof *wrong));
        overwrite_state(&state);
        if (i < COUNT(wrong))
            assert_fails(MR_EFILE, "drawn", mr_sequence_restore(s, test_path("altered")));
        else
            assert_ok(mr_sequence_restore(s, test_path("altered")));
    }
    assert_int_equal(mr_sampler_drawn(s->sampler, &count)->id, 6);
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_str_free(&state);
}

static void test_a_state_of_other_weights_is_refused(void **test)
{
    (void)test;
    struct mr_str state = {0};
    mr_sequence *s;
    open_session(&s, configs[0], &state);
    mr_sequence_close(s);
    mr_lm_close(lm);
    assert_ok(mr_lm_open(&lm, rt, test_write_model("microrwkv", configs[0], 2), NULL));
    assert_ok(mr_sequence_open(&s, lm));
    assert_fails(MR_EFILE, "does not match this model", mr_sequence_restore(s, test_path("state")));
    assert_int_equal(mr_sequence_position(s), 0);
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_str_free(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_altered_states_are_survived),
        cmocka_unit_test(test_a_position_that_is_not_the_number_of_tokens_is_refused),
        cmocka_unit_test(test_a_penalty_does_not_change_the_kept_logits),
        cmocka_unit_test(test_counts_of_drawn_tokens_are_kept),
        cmocka_unit_test(test_impossible_counts_are_refused),
        cmocka_unit_test(test_a_state_of_other_weights_is_refused),
    };
    return cmocka_run_group_tests_name("state", tests, open_device, close_device);
}
