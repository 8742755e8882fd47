/* SPDX-License-Identifier: GPL-3.0-or-later
 * config.json of other programs: what is computed, what is refused, what is named in a warning. */
#include "list_test.h"

static void test_hugging_face_settings_that_differ_are_refused(void **state)
{
    (void)state;
    struct mr_config cfg = test_config(
                         "gpt2",
                         "{\"n_layer\": 1, \"n_embd\": 64, \"n_head\": 1, \"vocab_size\": 50, \"block_size\": 9}"),
                     got;
    struct mr_naming naming;
    static const struct {
        const char *config, *part;
    } cases[] = {
        {"{\"activation_function\": \"relu6\"}", "activation_function is relu6"},
        {"{\"scale_attn_by_inverse_layer_idx\": true, \"scale_attn_weights\": false}", "only one of these"},
        {"{\"n_head\": \"many\"}", "n_head"},
        {"{\"num_attention_heads\": \"many\"}", "n_head"},
        {"{\"n_head\": 1, \"num_attention_heads\": 2}", "n_head and num_attention_heads"},
        {"{\"num_hidden_layers\": 3}", "3 blocks"},
        {"{\"add_cross_attention\": true}", "add_cross_attention"},
        {"{\"hidden_act\": \"silu\"}", "hidden_act is silu"},
        {"{\"n_inner\": 128}", "its n_inner is 128, but its tensors have 256"},
        {"{\"intermediate_size\": 300}", "intermediate_size"},
        {"{\"layer_norm_eps\": -1e-6}", "ln_eps"},
        {"{\"max_position_embeddings\": 8}", "max_position_embeddings is 8: only 9"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_GPT2, "", NULL);
        file->config = json_loads(cases[i].config, 0, NULL);
        assert_fails(MR_EFILE, cases[i].part, mr_recognise(file, NULL, &got, &naming));
        mr_tensor_file_close(file);
    }
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_GPT2, "", NULL);
    file->config = json_loads("{\"activation_function\": \"gelu\", \"n_head\": 4}", 0, NULL);
    assert_ok(mr_recognise(file, NULL, &got, &naming));
    assert_int_equal(got.gelu, MR_GELU_ERF);
    assert_int_equal(got.n_head, 4);
    mr_tensor_file_close(file);
}

static void test_variants_of_gpt2_are_known(void **state)
{
    (void)state;
    struct mr_config cfg = test_config("gpt2", "{\"n_layer\": 1, \"n_embd\": 64, \"n_head\": 1, \"vocab_size\": 50, "
                                               "\"block_size\": 9, \"ffn_dim\": 96, \"tied\": false}"),
                     got;
    struct mr_naming naming;
    static const struct {
        const char *name;
        int gelu;
    } acts[] = {
        {"relu", MR_GELU_RELU}, {"quick_gelu", MR_GELU_QUICK}, {"gelu", MR_GELU_ERF}, {"gelu_new", MR_GELU_TANH}};
    for (size_t i = 0; i < COUNT(acts); i++) {
        char config[400];
        snprintf(config, sizeof config,
                 "{\"activation_function\": \"%s\", \"n_head\": 4, \"n_inner\": 96, \"layer_norm_epsilon\": 1e-3, "
                 "\"tie_word_embeddings\": false, \"%s\": %s}",
                 acts[i].name, i % 2 ? "scale_attn_weights" : "scale_attn_by_inverse_layer_idx",
                 i % 2 ? "false" : "true");
        mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_HF_GPT2, "", NULL);
        assert_non_null(file->config = json_loads(config, 0, NULL));
        assert_ok(mr_recognise(file, NULL, &got, &naming));
        assert_int_equal(got.gelu, acts[i].gelu);
        assert_int_equal(got.attention_scale, i % 2 ? MR_SCALE_NONE : MR_SCALE_LAYER);
        assert_int_equal(got.ffn_dim, 96);
        assert_true(got.ln_eps == 1e-3);
        assert_false(got.tied);
        mr_tensor_file_close(file);
    }
}

/* What of OPT, GPT-Neo and GPT-NeoX is computed in one way only. */
static void test_settings_of_other_transformers_are_refused(void **state)
{
    (void)state;
    struct mr_config got;
    struct mr_naming naming;
    static const struct {
        const char *family, *config, *part;
    } cases[] = {
        {"opt", "{\"do_layer_norm_before\": false}", "do_layer_norm_before is not true"},
        {"opt", "{\"word_embed_proj_dim\": 32}", "word_embed_proj_dim is 32: only 64"},
        {"opt", "{\"max_position_embeddings\": 11}", "max_position_embeddings is 11: only 9"},
        {"gptneo", "{\"attention_layers\": [\"global\", \"global\"]}", "the attention of its block 1 is global"},
        {"gptneo", "{\"attention_types\": [[[\"local\"], 2]]}", "the attention of its block 0 is local"},
        {"gptneo", "{\"window_size\": 0}", "window 0"},
        {"gptneox", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}", "rope_scaling is set"},
        {"gptneox", "{\"attention_bias\": false}", "attention_bias is not true"},
        {"gptneox", "{\"rotary_pct\": 0.01}", "rotary_pct 0.01 turns 0"},
        {"gptneox", "{\"hidden_act\": \"mish\"}", "hidden_act is mish"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mr_config cfg = test_config(cases[i].family, "{\"n_layer\": 2, \"n_embd\": 64, \"n_head\": 4, "
                                                            "\"vocab_size\": 50, \"block_size\": 9}");
        mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_OWN, "", NULL);
        assert_non_null(file->config = json_loads(cases[i].config, 0, NULL));
        int err = mr_recognise(file, NULL, &got, &naming);
        assert_fails(MR_EFILE, cases[i].part, err ? err : mr_config_check(&got) ? MR_EFILE : 0);
        mr_tensor_file_close(file);
    }
}

/* What is logged while a GPT-2 with this config.json is recognised. */
static const char *warnings_of(const char *config, struct mr_config *got)
{
    struct mr_config cfg =
        test_config("gpt2", "{\"n_layer\": 2, \"n_embd\": 64, \"n_head\": 4, \"vocab_size\": 50, \"block_size\": 9}");
    struct mr_naming naming;
    mr_tensor_file *file = list_of(&cfg, MR_LAYOUT_HF_GPT2, "", NULL);
    assert_non_null(file->config = json_loads(config, 0, NULL));
    *warned = 0;
    mr_set_log(keep_warning, NULL);
    assert_ok(mr_recognise(file, NULL, got, &naming));
    mr_set_log(NULL, NULL);
    mr_tensor_file_close(file);
    return warned;
}

static void test_keys_of_config_json_under_other_names(void **state)
{
    (void)state;
    struct mr_config got;
    static const char *const heads[] = {"num_attention_heads", "num_heads", "n_heads", "n_head"};
    for (size_t i = 0; i < COUNT(heads); i++) {
        char config[400];
        snprintf(
            config, sizeof config,
            "{\"model_type\": \"gpt2\", \"%s\": 4, \"hidden_size\": 64, \"num_hidden_layers\": 2, \"vocab_size\": 50, "
            "\"max_position_embeddings\": 9, \"hidden_act\": \"gelu\", \"n_inner\": null, \"layer_norm_eps\": 1e-05}",
            heads[i]);
        assert_string_equal(warnings_of(config, &got), "");
        assert_int_equal(got.n_head, 4);
        assert_int_equal(got.gelu, MR_GELU_ERF);
    }
}

static void test_unknown_keys_of_config_json_are_named(void **state)
{
    (void)state;
    struct mr_config got;
    const char *text = warnings_of("{\"n_head\": 4, \"rotary_dim\": 16, \"alibi\": true, \"window_size\": null, "
                                   "\"use_moe\": false, \"bos_token_id\": 7, \"_name_or_path\": \"x\", "
                                   "\"summary_type\": \"cls_index\", \"torch_dtype\": \"float16\"}",
                                   &got);
    assert_string_equal(text, "config.json: 2 unknown keys are ignored: rotary_dim, alibi\n");
    text = warnings_of("{\"n_head\": 4, \"model_type\": \"imagegpt\"}", &got);
    assert_non_null(strstr(text, "its model_type is imagegpt"));
    text = warnings_of("{}", &got);
    assert_non_null(strstr(text, "the file does not give n_head: assuming 1 heads of width 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hugging_face_settings_that_differ_are_refused),
        cmocka_unit_test(test_variants_of_gpt2_are_known),
        cmocka_unit_test(test_settings_of_other_transformers_are_refused),
        cmocka_unit_test(test_keys_of_config_json_under_other_names),
        cmocka_unit_test(test_unknown_keys_of_config_json_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
