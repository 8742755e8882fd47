/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models are told by the names and shapes of their tensors. */
#include "list_test.h"

#include "formats/random_file.h"
#include "formats/training.h"

static void expect_same(const struct mr_config *got, const struct mr_config *want)
{
    char *x = mr_config_text(got), *y = mr_config_text(want);
    assert_string_equal(mr_family_name(got->family), mr_family_name(want->family));
    assert_string_equal(x, y);
    free(x);
    free(y);
}

/* Recognised, and all parameters found. Closes the file. */
static void expect_recognised(mr_tensor_file *file, const struct mr_config *want, int layout, const char *prefix)
{
    struct mr_config got;
    struct mr_naming naming;
    struct mr_params params = {0};
    assert_ok(mr_recognise(file, NULL, &got, &naming));
    assert_int_equal(naming.layout, layout);
    assert_string_equal(naming.prefix, prefix);
    expect_same(&got, want);
    assert_ok(mr_model_declare(&params, &got));
    assert_ok(mr_check_names(file, &naming, &params, &got));
    mr_params_free(&params);
    mr_tensor_file_close(file);
}

static const struct {
    const char *name, *given;
} rwkvs[] = {
    {"rwkv4", "{\"n_layer\": 3, \"n_embd\": 96, \"vocab_size\": 50}"},
    {"rwkv5", "{\"n_layer\": 2, \"n_embd\": 128, \"vocab_size\": 50, \"block_size\": 1024}"},
    {"rwkv5",
     "{\"n_layer\": 2, \"n_embd\": 48, \"vocab_size\": 50, \"head_size\": 8, \"rwkv51\": true, \"block_size\": 1024}"},
    {"rwkv6", "{\"n_layer\": 2, \"n_embd\": 64, \"vocab_size\": 50, \"head_size\": 16, \"lora_mix\": 5, "
              "\"lora_decay\": 7, \"block_size\": 1024}"},
    {"rwkv7", "{\"n_layer\": 2, \"n_embd\": 64, \"vocab_size\": 50, \"head_size\": 16, \"lora_w\": 5, \"lora_a\": 6, "
              "\"lora_v\": 7,"
              " \"lora_g\": 9, \"block_size\": 1024}"},
};

static void test_rwkv_versions_and_sizes_follow_from_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rwkvs); i++) {
        struct mr_config cfg = test_config(rwkvs[i].name, rwkvs[i].given);
        expect_recognised(list_of(&cfg, MR_LAYOUT_OWN, "", NULL), &cfg, MR_LAYOUT_OWN, "");
        if (cfg.family != MR_RWKV7)
            expect_recognised(list_of(&cfg, MR_LAYOUT_HF_RWKV, "", NULL), &cfg, MR_LAYOUT_HF_RWKV, "");
    }
}

static void test_our_families_follow_from_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *given;
    } cases[] = {
        {"nanorwkv",
         "{\"n_layer\": 3, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"bias\": true, \"block_size\": 9}"},
        {"gpt2",
         "{\"n_layer\": 3, \"n_embd\": 128, \"n_head\": 2, \"vocab_size\": 50, \"bias\": true, \"block_size\": 9}"},
        {"gpt2",
         "{\"n_layer\": 1, \"n_embd\": 64, \"n_head\": 1, \"vocab_size\": 50, \"bias\": false, \"block_size\": 9}"},
        {"microrwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9, "
                      "\"mode\": \"reference\","
                      " \"expert_dim\": 10, \"num_experts\": 3, \"num_active_experts\": 2}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mr_config cfg = test_config(cases[i].name, cases[i].given);
        expect_recognised(list_of(&cfg, MR_LAYOUT_OWN, "", NULL), &cfg, MR_LAYOUT_OWN, "");
    }
}

static void test_prefixes_of_training_programs_are_passed(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"model.",
                                           "_orig_mod.",
                                           "module.",
                                           "model._orig_mod.",
                                           "model.module._orig_mod.",
                                           "_forward_module.",
                                           "_forward_module.model.",
                                           "base_model.model.",
                                           "gpt.0.student-1."};
    struct mr_config cfg = test_config(
        "nanorwkv", "{\"n_layer\": 1, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}");
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, prefixes[i], NULL);
        const int64_t shape[] = {50, 24};
        char tied[64];
        snprintf(tied, sizeof tied, "%slm_head.weight", prefixes[i]);
        add(file, tied, 2, shape);
        file->tensors[file->count - 1].shares = 0;          /* the embedding comes first */
        add(file, "grad.transformer.wte.weight", 2, shape); /* none of its business */
        expect_recognised(file, &cfg, MR_LAYOUT_OWN, prefixes[i]);
    }
}

static void test_of_several_models_the_usual_one_is_read(void **state)
{
    (void)state;
    static const char *const others[] = {"ema.", "teacher.model."};
    struct mr_config cfg = test_config(
        "nanorwkv", "{\"n_layer\": 1, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}");
    for (size_t i = 0; i < COUNT(others); i++) {
        struct mr_naming naming;
        struct mr_config got;
        mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, others[i], NULL), *usual = list_of(&cfg, 0, "model.", NULL);
        for (size_t k = 0; k < usual->count; k++)
            add(file, usual->tensors[k].name, usual->tensors[k].ndim, usual->tensors[k].shape);
        *warned = 0;
        mr_set_log(keep_warning, NULL);
        assert_ok(mr_recognise(file, NULL, &got, &naming));
        mr_set_log(NULL, NULL);
        assert_string_equal(naming.prefix, "model.");
        assert_non_null(strstr(warned, others[i]));
        mr_tensor_file_close(file);
        mr_tensor_file_close(usual);
    }
}

/* web-rwkv's names and forms; RWKV-4's are the official ones. */
static void test_st_files_follow_from_names_and_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rwkvs); i++) {
        struct mr_config cfg = test_config(rwkvs[i].name, rwkvs[i].given);
        if (cfg.family != MR_RWKV4 && !cfg.rwkv51)
            expect_recognised(list_of(&cfg, MR_LAYOUT_ST, "", NULL), &cfg, MR_LAYOUT_ST, "");
    }
    struct mr_config square =
        test_config("rwkv7", "{\"n_layer\": 2, \"n_embd\": 64, \"head_size\": 16, \"vocab_size\": 50, "
                             "\"lora_w\": 64, \"lora_a\": 64, \"lora_g\": 96, \"block_size\": 1024}");
    expect_recognised(list_of(&square, MR_LAYOUT_ST, "", NULL), &square, MR_LAYOUT_ST, "");
    expect_recognised(list_of(&square, MR_LAYOUT_OWN, "", NULL), &square, MR_LAYOUT_OWN, "");
    struct mr_config cfg =
                         test_config("rwkv5", "{\"n_layer\": 1, \"n_embd\": 64, \"head_size\": 16, \"vocab_size\": 50, "
                                              "\"rwkv51\": true}"),
                     got;
    struct mr_naming naming;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "", NULL);
    struct mr_file_tensor *decay = &file->tensors[mr_tensor_file_find(file, "blocks.0.att.time_decay")];
    decay->ndim = 2;
    decay->shape[0] = 4;
    decay->shape[1] = 16;
    assert_fails(MR_EFILE, "repeated for each channel", mr_recognise(file, NULL, &got, &naming));
    mr_tensor_file_close(file);
}

static void test_transposed_gpt2_is_the_released_one(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
        "gpt2",
        "{\"n_layer\": 2, \"n_embd\": 64, \"n_head\": 1, \"vocab_size\": 50, \"block_size\": 9, \"gelu\": \"tanh\"}");
    const int64_t mask[] = {1, 1, 9, 9};
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_GPT2, "", NULL);
    add(file, "h.0.attn.bias", 4, mask);
    add(file, "h.1.attn.masked_bias", 0, mask);
    expect_recognised(file, &cfg, MR_LAYOUT_GPT2, "");
    expect_recognised(list_of(&cfg, MR_LAYOUT_HF_GPT2, "", NULL), &cfg, MR_LAYOUT_HF_GPT2, "");
    cfg.gelu = MR_GELU_ERF;
    expect_recognised(list_of(&cfg, MR_LAYOUT_BARE, "", NULL), &cfg, MR_LAYOUT_BARE, "");
}

static void test_heads_are_asked_for_where_nothing_tells_them(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
                         "gpt2",
                         "{\"n_layer\": 1, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}"),
                     got;
    struct mr_naming naming;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "", NULL);
    const struct mr_value three = {.kind = MR_VALUE_INT, .integer = 3};
    struct mr_settings given = {0};
    assert_ok(mr_settings_set(&given, "n_head", &three));
    assert_fails(MR_EINVAL, "n_head", mr_recognise(file, NULL, &got, &naming));
    assert_ok(mr_recognise(file, &given, &got, &naming));
    mr_settings_free(&given);
    mr_tensor_file_close(file);
}

static void expect_names(mr_tensor_file *file, const char *part)
{
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_params params = {0};
    assert_ok(mr_recognise(file, NULL, &cfg, &naming));
    assert_ok(mr_model_declare(&params, &cfg));
    assert_fails(MR_EFILE, part, mr_check_names(file, &naming, &params, &cfg));
    mr_params_free(&params);
    mr_tensor_file_close(file);
}

static void test_missing_and_unknown_tensors_are_listed(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
        "nanorwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}");
    const int64_t shape[] = {24};
    expect_names(list_of(&cfg, MR_LAYOUT_OWN, "model.", "transformer.h.1.cmix.key.weight"),
                 "missing: transformer.h.1.cmix.key.weight");
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "model.", NULL);
    add(file, "model.transformer.h.1.tmix.extra", 1, shape);
    expect_names(file, "model.transformer.h.1.tmix.extra");
}

static void test_unknown_models_are_named(void **state)
{
    (void)state;
    struct mr_config cfg;
    struct mr_naming naming;
    const int64_t shape[] = {24, 24};
    mr_tensor_file *file = empty_file();
    assert_fails(MR_EFILE, "no tensors", mr_recognise(file, NULL, &cfg, &naming));
    add(file, "layers.0.self_attn.q_proj.weight", 2, shape);
    assert_fails(MR_EFILE, "layers.0.self_attn.q_proj.weight", mr_recognise(file, NULL, &cfg, &naming));
    add(file, "emb.weight", 2, shape);
    assert_fails(MR_EFILE, "RWKV", mr_recognise(file, NULL, &cfg, &naming));
    mr_tensor_file_close(file);
    file = empty_file();
    add(file, "transformer.wte.weight", 2, shape);
    assert_fails(MR_EFILE, "no known family", mr_recognise(file, NULL, &cfg, &naming));
    mr_tensor_file_close(file);
}

static void test_what_a_file_says_must_fit_its_tensors(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
                         "nanorwkv",
                         "{\"n_layer\": 1, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}"),
                     got;
    struct mr_naming naming;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "", NULL);
    json_decref(file->metadata);
    file->metadata = json_pack("{ss}", "family", "gpt2");
    assert_fails(MR_EFILE, "it says that it is a gpt2", mr_recognise(file, NULL, &got, &naming));
    json_decref(file->metadata);
    file->metadata = json_pack("{s{si}}", "config", "n_layer", 1000000);
    assert_fails(MR_EFILE, "it says that it has 1000000 blocks", mr_recognise(file, NULL, &got, &naming));
    mr_tensor_file_close(file);
}

/* ---- numbered moments -------------------------------------------------------------------------------------------- */

static void add_moments(mr_tensor_file *file, const struct mr_params *params, const int *numbers)
{
    for (int i = 0; i < params->count; i++) {
        int64_t shape[4];
        char name[64];
        for (int d = 0; d < params->list[i]->ndim; d++)
            shape[d] = (int64_t)params->list[i]->shape[d];
        snprintf(name, sizeof name, "optimizer.state.%d.exp_avg", numbers[i]);
        add(file, name, params->list[i]->ndim, shape);
        snprintf(name, sizeof name, "optimizer.state.%d.exp_avg_sq", numbers[i]);
        add(file, name, params->list[i]->ndim, shape);
    }
}

static void test_moments_are_numbered_by_decay_then_order(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
        "nanorwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}");
    struct mr_params params = {0};
    struct mr_moments moments;
    struct mr_naming naming;
    int decayed, *numbers;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "model.", NULL);
    assert_ok(mr_model_declare(&params, &cfg));
    assert_non_null(numbers = mr_torch_numbers(&params, &decayed));
    for (int i = 0; i < params.count; i++)
        assert_true(params.list[i]->decay == (numbers[i] < decayed));
    add_moments(file, &params, numbers);
    assert_ok(mr_naming_of(file, &naming));
    assert_ok(mr_moments_open(&moments, file, &naming, &params));
    assert_int_equal(moments.kind, MR_MOMENTS_TORCH);
    for (int i = 0; i < params.count; i++) {
        int64_t at = mr_moments_find(&moments, file, &params, i, 1);
        char name[64];
        snprintf(name, sizeof name, "optimizer.state.%d.exp_avg_sq", numbers[i]);
        assert_string_equal(file->tensors[at].name, name);
    }
    mr_moments_free(&moments);
    free(numbers);
    mr_params_free(&params);
    mr_tensor_file_close(file);
}

static void test_moments_that_do_not_fit_are_not_guessed(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
        "nanorwkv", "{\"n_layer\": 2, \"n_embd\": 24, \"n_head\": 3, \"vocab_size\": 50, \"block_size\": 9}");
    struct mr_params params = {0};
    struct mr_moments moments;
    struct mr_naming naming;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "model.", NULL);
    assert_ok(mr_model_declare(&params, &cfg));
    int *numbers = calloc((size_t)params.count, sizeof *numbers);
    for (int i = 0; i < params.count; i++)
        numbers[i] = params.count - 1 - i;
    add_moments(file, &params, numbers);
    assert_ok(mr_naming_of(file, &naming));
    assert_ok(mr_moments_open(&moments, file, &naming, &params));
    assert_true(moments.unknown);
    assert_int_equal(mr_moments_find(&moments, file, &params, 0, 0), -1);
    mr_moments_free(&moments);
    free(numbers);
    mr_params_free(&params);
    mr_tensor_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rwkv_versions_and_sizes_follow_from_shapes),
        cmocka_unit_test(test_our_families_follow_from_shapes),
        cmocka_unit_test(test_prefixes_of_training_programs_are_passed),
        cmocka_unit_test(test_of_several_models_the_usual_one_is_read),
        cmocka_unit_test(test_st_files_follow_from_names_and_shapes),
        cmocka_unit_test(test_transposed_gpt2_is_the_released_one),
        cmocka_unit_test(test_heads_are_asked_for_where_nothing_tells_them),
        cmocka_unit_test(test_missing_and_unknown_tensors_are_listed),
        cmocka_unit_test(test_unknown_models_are_named),
        cmocka_unit_test(test_what_a_file_says_must_fit_its_tensors),
        cmocka_unit_test(test_moments_are_numbered_by_decay_then_order),
        cmocka_unit_test(test_moments_that_do_not_fit_are_not_guessed),
    };
    return cmocka_run_group_tests_name("recognise", tests, NULL, test_cleanup);
}
