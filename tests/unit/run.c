/* SPDX-License-Identifier: GPL-3.0-or-later
 * One call for pieces of several texts: each comes out as it would alone, to the bit. */
#include "config_test.h"
#include "rt_test.h"

#include <math.h>

#include "model/workspace.h"

enum { SLOTS = 10, CHUNK = 9, VOCAB = 23 };

static const struct {
    const char *name, *config;
} models[] = {
    {"microrwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 2, \"groups\": 2, \"vocab_size\": 23, \"window\": 5, "
                  "\"expert_dim\": 7}"},
    {"microrwkv", "{\"n_layer\": 1, \"n_embd\": 24, \"n_head\": 3, \"groups\": 2, \"vocab_size\": 23, \"window\": 4, "
                  "\"moe\": \"topk\", \"num_active_experts\": 2, \"expert_dim\": 8, \"positions\": \"learned\", "
                  "\"branch_norm\": \"rms\", \"block_size\": 40, \"bias\": true}"},
    {"nanorwkv", "{\"n_layer\": 2, \"n_embd\": 20, \"n_head\": 2, \"vocab_size\": 23, \"block_size\": 40}"},
    {"gpt2", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 23, \"block_size\": 40}"},
    {"rwkv4", "{\"n_layer\": 2, \"n_embd\": 24, \"vocab_size\": 23}"},
    {"rwkv5", "{\"n_layer\": 2, \"n_embd\": 24, \"head_size\": 8, \"vocab_size\": 23}"},
    {"rwkv5", "{\"n_layer\": 2, \"n_embd\": 24, \"head_size\": 12, \"vocab_size\": 23, \"rwkv51\": true}"},
    {"rwkv6", "{\"n_layer\": 2, \"n_embd\": 24, \"head_size\": 12, \"vocab_size\": 23}"},
    {"rwkv7", "{\"n_layer\": 3, \"n_embd\": 24, \"head_size\": 8, \"vocab_size\": 23}"},
};

static mr_runtime *rt;

struct fixture {
    mr_model *model;
    mr_workspace *ws;
    mr_states *states;
};

static int open_device(void **state)
{
    (void)state;
    return mr_runtime_open(&rt, NULL);
}

static int close_device(void **state)
{
    (void)state;
    mr_runtime_close(rt);
    return 0;
}

static struct fixture open_model(size_t i)
{
    struct fixture f;
    const struct mr_config cfg = test_config(models[i].name, models[i].config);
    const struct mr_workspace_options options = {.batch = 1, .time = CHUNK, .steps = SLOTS, .logits = SLOTS * CHUNK};
    assert_ok(mr_model_create(&f.model, rt, &cfg, NULL, NULL, false));
    assert_ok(mr_model_init(f.model, 3));
    assert_ok(mr_workspace_create(&f.ws, f.model, &options));
    assert_ok(mr_states_create(&f.states, f.model, SLOTS, false));
    assert_true(f.ws->can_step);
    return f;
}

static void close_model(struct fixture *f)
{
    mr_states_free(f->states);
    mr_workspace_free(f->ws);
    mr_model_free(f->model);
}

/* Token t of text number n. */
static int32_t token_of(int n, int t)
{
    return (7 * n + 5 * t + n * t * t) % VOCAB;
}

static void fill(int32_t *tokens, int text, int from, int count)
{
    for (int t = 0; t < count; t++)
        tokens[t] = token_of(text, from + t);
}

/* Tokens [from, from+count) of a text into a slot, by itself; logits of the last one. */
static void feed(struct fixture *f, int slot, int text, int from, int count, float *logits)
{
    int32_t tokens[CHUNK];
    fill(tokens, text, from, count);
    const struct mr_piece piece = {slot, tokens, count, MR_LOGITS_LAST};
    assert_ok(mr_run(f->ws, f->states, &piece, 1));
    assert_ok(mr_workspace_logits(f->ws, 0, 1, logits));
}

static void test_steps_together_are_steps_alone(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(models); m++) {
        struct fixture f = open_model(m);
        float alone[SLOTS][4][VOCAB], together[SLOTS * VOCAB];
        for (int text = 0; text < SLOTS; text++) { /* each text in slot 0, one after the other */
            assert_ok(mr_states_zero(f.states, 0));
            feed(&f, 0, text, 0, 1 + text % CHUNK, alone[text][0]);
            for (int t = 0; t < 4; t++)
                feed(&f, 0, text, 1 + text % CHUNK + t, 1, alone[text][t]);
        }
        for (int text = 0; text < SLOTS; text++) {
            assert_ok(mr_states_zero(f.states, SLOTS - 1 - text));
            feed(&f, SLOTS - 1 - text, text, 0, 1 + text % CHUNK, together);
        }
        for (int t = 0; t < 4; t++) {
            struct mr_piece pieces[SLOTS];
            int32_t tokens[SLOTS];
            for (int text = 0; text < SLOTS; text++) {
                tokens[text] = token_of(text, 1 + text % CHUNK + t);
                pieces[text] = (struct mr_piece){SLOTS - 1 - text, &tokens[text], 1, MR_LOGITS_LAST};
            }
            assert_ok(mr_run(f.ws, f.states, pieces, SLOTS));
            assert_ok(mr_workspace_logits(f.ws, 0, SLOTS, together));
            for (int text = 0; text < SLOTS; text++)
                assert_memory_equal(together + text * VOCAB, alone[text][t], sizeof alone[text][t]);
        }
        close_model(&f);
    }
}

/* The launches of a step are kept with the states that they were made for. */
static void test_one_workspace_steps_two_states(void **state)
{
    (void)state;
    struct fixture f = open_model(0);
    mr_states *first = f.states, *second;
    float want[4][VOCAB], got[VOCAB];
    assert_ok(mr_states_create(&second, first->model, SLOTS, false));
    assert_ok(mr_states_zero(first, 0));
    assert_ok(mr_states_zero(second, 0));
    for (int t = 0; t < 4; t++)
        feed(&f, 0, 1, t, 1, want[t]);
    f.states = second;
    for (int t = 0; t < 4; t++) {
        feed(&f, 0, 1, t, 1, got);
        assert_memory_equal(got, want[t], sizeof got);
    }
    mr_states_free(second);
    f.states = first;
    assert_ok(mr_states_create(&second, first->model, SLOTS, false)); /* perhaps in the same place */
    assert_ok(mr_states_zero(second, 0));
    f.states = second;
    for (int t = 0; t < 4; t++) {
        feed(&f, 0, 1, t, 1, got);
        assert_memory_equal(got, want[t], sizeof got);
    }
    mr_states_free(second);
    f.states = first;
    close_model(&f);
}

static void test_prompts_and_steps_mix_in_one_call(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(models); m++) {
        struct fixture f = open_model(m);
        float want[3][VOCAB], got[(CHUNK + 1) * VOCAB];
        int32_t tokens[3][CHUNK];
        feed(&f, 0, 0, 0, 3, want[0]);
        feed(&f, 0, 0, 3, 1, want[0]);
        feed(&f, 1, 1, 0, 7, want[1]);
        feed(&f, 2, 2, 0, 2, want[2]);
        feed(&f, 2, 2, 2, 1, want[2]);
        for (int slot = 0; slot < 3; slot++)
            assert_ok(mr_states_zero(f.states, slot));
        feed(&f, 0, 0, 0, 3, got);
        feed(&f, 2, 2, 0, 2, got);
        fill(tokens[0], 0, 3, 1);
        fill(tokens[1], 1, 0, 7);
        fill(tokens[2], 2, 2, 1);
        const struct mr_piece pieces[] = {
            {0, tokens[0], 1, MR_LOGITS_LAST}, {1, tokens[1], 7, MR_LOGITS_ALL}, {2, tokens[2], 1, MR_LOGITS_LAST}};
        assert_ok(mr_run(f.ws, f.states, pieces, 3));
        assert_ok(mr_workspace_logits(f.ws, 0, 9, got));
        assert_memory_equal(got, want[0], sizeof want[0]);
        assert_memory_equal(got + 8 * VOCAB, want[2], sizeof want[2]);
        for (int i = 0; i < VOCAB; i++) /* rows of a head's product depend on how many are asked for by a rounding */
            assert_true(fabsf(got[7 * VOCAB + i] - want[1][i]) <= 1e-5f);
        for (int slot = 0; slot < 3; slot++)
            assert_int_equal(f.states->position[slot], slot == 0 ? 4 : slot == 1 ? 7 : 3);
        close_model(&f);
    }
}

static void test_slots_are_copied_and_emptied(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(models); m++) {
        struct fixture f = open_model(m);
        float first[VOCAB], want[VOCAB], got[VOCAB];
        feed(&f, 0, 1, 0, 1, first);
        feed(&f, 0, 1, 1, 6, got);
        assert_ok(mr_states_copy(f.states, 0, 3));
        size_t size = mr_states_size(f.states);
        char *bytes = malloc(size);
        assert_non_null(bytes);
        assert_ok(mr_states_read(f.states, 0, bytes));
        feed(&f, 0, 1, 7, 1, want);
        feed(&f, 3, 1, 7, 1, got);
        assert_memory_equal(got, want, sizeof want);
        assert_ok(mr_states_write(f.states, 4, bytes, size));
        feed(&f, 4, 1, 7, 1, got);
        assert_memory_equal(got, want, sizeof want);
        assert_ok(mr_states_zero(f.states, 3));
        feed(&f, 3, 1, 0, 1, got);
        assert_memory_equal(got, first, sizeof first);
        assert_fails(MR_EINVAL, "does not match", mr_states_write(f.states, 4, bytes, size - 1));
        free(bytes);
        close_model(&f);
    }
}

static void test_refused_pieces_change_nothing(void **state)
{
    (void)state;
    struct fixture f = open_model(3);
    const int32_t good[] = {1, 2, 3}, bad[] = {1, VOCAB, 3};
    float want[VOCAB], got[VOCAB];
    feed(&f, 1, 0, 0, 2, want);
    feed(&f, 0, 0, 0, 2, got);
    const struct {
        const char *text;
        struct mr_piece pieces[2];
    } refused[] = {
        {"outside the vocabulary", {{0, good, 3, 0}, {1, bad, 3, 0}}},
        {"use slot", {{0, good, 3, 0}, {0, good, 1, 0}}},
        {"slot 10 does not exist", {{0, good, 1, 0}, {SLOTS, good, 1, 0}}},
        {"takes 1 to 9", {{0, good, 3, 0}, {1, good, 0, 0}}},
        {"differ in length", {{-1, good, 3, 0}, {-1, good, 2, 0}}},
        {"pieces without slots", {{-1, good, 3, 0}, {-1, good, 3, 0}}},
    };
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_fails(MR_EINVAL, refused[i].text, mr_run(f.ws, f.states, refused[i].pieces, 2));
    feed(&f, 1, 0, 2, 1, want);
    feed(&f, 0, 0, 2, 1, got);
    assert_memory_equal(got, want, sizeof want);
    f.states->position[0] = 40;
    assert_fails(MR_EINVAL, "block_size", mr_run(f.ws, f.states, refused[0].pieces, 1));
    f.states->position[0] = -1; /* as after a failure in the middle of a call */
    assert_fails(MR_EINVAL, "undefined", mr_run(f.ws, f.states, refused[0].pieces, 1));
    assert_ok(mr_states_zero(f.states, 0));
    assert_ok(mr_run(f.ws, f.states, refused[0].pieces, 1));
    close_model(&f);
}

static void test_not_finite_numbers_are_named_by_their_layer(void **state)
{
    (void)state;
    struct fixture f = open_model(4);
    char place[MR_NAME];
    float logits[VOCAB];
    const float nan = NAN;
    struct mr_param *p = mr_param_find(&f.model->params, "", "blocks.1.ffn.value.weight");
    assert_non_null(p);
    assert_ok(mr_write(rt, &p->value, 5, 1, &nan));
    for (int step = 0; step < 2; step++) {
        assert_ok(mr_states_zero(f.states, 0));
        feed(&f, 0, 0, 0, step ? 1 : 4, logits);
        assert_ok(mr_first_not_finite(f.ws, place));
        assert_string_equal(place, "blocks.1.ffn.");
    }
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_together_are_steps_alone),
        cmocka_unit_test(test_one_workspace_steps_two_states),
        cmocka_unit_test(test_prompts_and_steps_mix_in_one_call),
        cmocka_unit_test(test_slots_are_copied_and_emptied),
        cmocka_unit_test(test_refused_pieces_change_nothing),
        cmocka_unit_test(test_not_finite_numbers_are_named_by_their_layer),
    };
    return cmocka_run_group_tests_name("run", tests, open_device, close_device);
}
