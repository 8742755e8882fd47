/* SPDX-License-Identifier: GPL-3.0-or-later
 * Training that runs blocks again: the same loss and the same gradients, to the bit, in less memory. */
#include "config_test.h"
#include "rt_test.h"

#include <string.h>

#include "model/memory.h"

enum { BATCH = 3, TIME = 7, VOCAB = 23, MICRO_STEPS = 2 };

static const struct {
    const char *name, *config;
} models[] = {
    {"microrwkv", "{\"n_layer\": 3, \"n_embd\": 24, \"n_head\": 2, \"groups\": 2, \"vocab_size\": 23, \"window\": 5, "
                  "\"expert_dim\": 7, \"dropout\": 0.2, \"aux\": \"diversity\", \"aux_weight\": 0.1}"},
    {"microrwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"groups\": 2, \"vocab_size\": 23, \"window\": 4, "
                  "\"moe\": \"topk\", \"num_active_experts\": 2, \"expert_dim\": 8, \"positions\": \"learned\", "
                  "\"branch_norm\": \"rms\", \"block_size\": 40, \"bias\": true, \"dropout\": 0.2, \"aux\": "
                  "\"balance\", \"aux_weight\": 0.1}"},
    {"microrwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 2, \"groups\": 2, \"vocab_size\": 23, \"block_size\": "
                  "8, \"mode\": \"reference\", \"dropout\": 0.2}"},
    {"nanorwkv", "{\"n_layer\": 3, \"n_embd\": 20, \"n_head\": 2, \"vocab_size\": 23, \"block_size\": 40, "
                 "\"dropout\": 0.2}"},
    {"gpt2", "{\"n_layer\": 3, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 23, \"block_size\": 40, "
             "\"dropout\": 0.2}"},
    {"rwkv4", "{\"n_layer\": 3, \"n_embd\": 24, \"vocab_size\": 23, \"dropout\": 0.2}"},
    {"rwkv5", "{\"n_layer\": 2, \"n_embd\": 24, \"head_size\": 8, \"vocab_size\": 23}"},
    {"rwkv6", "{\"n_layer\": 3, \"n_embd\": 24, \"head_size\": 12, \"vocab_size\": 23}"},
    {"rwkv7", "{\"n_layer\": 3, \"n_embd\": 24, \"head_size\": 8, \"vocab_size\": 23, \"dropout\": 0.2}"},
};
enum { MODELS = sizeof models / sizeof models[0] };

static mr_runtime *rt;

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

/* What some micro-steps give. */
struct result {
    float cross_entropy[MICRO_STEPS], aux[MICRO_STEPS], evaluated;
    float *gradients; /* of all parameters, one after the other */
};

static void run_batch(mr_workspace *ws, bool backward, uint64_t micro_step)
{
    int32_t tokens[BATCH * TIME], targets[BATCH * TIME];
    struct mr_piece pieces[BATCH];
    for (int i = 0; i < BATCH * TIME; i++) {
        tokens[i] = (5 * i + i * i / 3 + (int)micro_step) % VOCAB;
        targets[i] = (3 * i + 1) % VOCAB;
    }
    for (int b = 0; b < BATCH; b++)
        pieces[b] = (struct mr_piece){.slot = -1, .tokens = tokens + b * TIME, .count = TIME};
    mr_workspace_set_training(ws, backward, 0.5f, 11, micro_step);
    assert_ok(mr_run(ws, NULL, pieces, BATCH));
    assert_ok(mr_loss(ws, targets, NULL));
    if (backward)
        assert_ok(mr_backward(ws));
}

static struct result train(mr_model *model, bool recompute)
{
    struct result r;
    struct mr_param_set gradients;
    mr_workspace *ws;
    const struct mr_workspace_options options = {
        .batch = BATCH, .time = TIME, .training = true, .recompute = recompute, .gradients = &gradients};
    float aux;
    size_t at = 0;
    assert_ok(mr_param_set_create(&gradients, model, MR_GRADIENTS, false));
    assert_ok(mr_workspace_create(&ws, model, &options));
    for (int i = 0; i < MICRO_STEPS; i++) {
        run_batch(ws, true, (uint64_t)i);
        assert_ok(mr_read_loss(ws, &r.cross_entropy[i], &r.aux[i]));
    }
    run_batch(ws, false, MICRO_STEPS);
    assert_ok(mr_read_loss(ws, &r.evaluated, &aux));
    r.gradients = calloc(mr_params_elements(&model->params), sizeof *r.gradients);
    assert_non_null(r.gradients);
    for (int i = 0; i < model->params.count; at += model->params.list[i++]->count)
        assert_ok(mr_read(rt, &gradients.list[i], 0, model->params.list[i]->count, r.gradients + at));
    mr_workspace_free(ws);
    mr_param_set_free(&gradients);
    return r;
}

static void same_bits(const char *model, const char *what, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: %s, number %zu: %.9g, with recompute %.9g", model, what, i, (double)a[i], (double)b[i]);
}

/* Matrices that start at 0 would hide what lies behind them. */
static void fill_weights(mr_model *model)
{
    assert_ok(mr_model_init(model, 3));
    for (int i = 0; i < model->params.count; i++) {
        struct mr_param *p = model->params.list[i];
        float *values = calloc(p->count, sizeof *values);
        assert_non_null(values);
        assert_ok(mr_read(rt, &p->value, 0, p->count, values));
        for (size_t j = 0; j < p->count; j++)
            values[j] += 0.05f * ((float)((j * 7 + (size_t)i) % 13) - 6) / 6;
        assert_ok(mr_write(rt, &p->value, 0, p->count, values));
        free(values);
    }
}

static void test_loss_and_gradients_are_the_same_to_the_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        const struct mr_config cfg = test_config(models[i].name, models[i].config);
        mr_model *model;
        assert_ok(mr_model_create(&model, rt, &cfg, NULL, NULL, false));
        fill_weights(model);
        struct result without = train(model, false), with = train(model, true);
        bool any = false;
        size_t count = mr_params_elements(&model->params);
        same_bits(models[i].name, "cross-entropy", without.cross_entropy, with.cross_entropy, MICRO_STEPS);
        same_bits(models[i].name, "auxiliary term", without.aux, with.aux, MICRO_STEPS);
        same_bits(models[i].name, "loss without backward", &without.evaluated, &with.evaluated, 1);
        same_bits(models[i].name, "gradients", without.gradients, with.gradients, count);
        for (size_t j = 0; j < count; j++)
            any |= with.gradients[j] != 0;
        assert_true(any);
        if (cfg.aux != MR_AUX_NONE && strcmp(models[i].name, "microrwkv") == 0)
            assert_true(with.aux[0] != 0);
        free(without.gradients);
        free(with.gradients);
        mr_model_free(model);
    }
}

static size_t planned(const struct mr_config *cfg, bool recompute, enum mr_memory kind)
{
    const struct mr_memory_need need = {
        .workspace = {.batch = BATCH, .time = TIME, .training = true, .recompute = recompute}, .optimizer = true};
    mr_plan *plan;
    assert_ok(mr_memory_plan(&plan, cfg, &need, NULL));
    size_t bytes = mr_plan_bytes(plan, kind);
    mr_plan_free(plan);
    return bytes;
}

/* What a block keeps is there once, and a further block costs only its input. */
static void test_blocks_share_what_they_keep(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        struct mr_config cfg = test_config(models[i].name, models[i].config);
        cfg.n_layer = 4;
        size_t kept = planned(&cfg, true, MR_ACTIVATIONS), shared = planned(&cfg, true, MR_RECOMPUTED);
        size_t stream = BATCH * TIME * (size_t)cfg.n_embd * sizeof(float) + 256;
        assert_int_equal(planned(&cfg, false, MR_RECOMPUTED), 0);
        assert_true(kept + 3 * shared < planned(&cfg, false, MR_ACTIVATIONS));
        cfg.n_layer = 5;
        assert_int_equal(planned(&cfg, true, MR_RECOMPUTED), shared);
        assert_in_range(planned(&cfg, true, MR_ACTIVATIONS), kept + 1, kept + stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_and_gradients_are_the_same_to_the_bit),
        cmocka_unit_test(test_blocks_share_what_they_keep),
    };
    return cmocka_run_group_tests_name("recompute", tests, open_device, close_device);
}
