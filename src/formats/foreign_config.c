/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/foreign_config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "formats/config_json.h"
#include "model/layer.h"

#define GPT2 (1u << MR_GPT2)
#define OPT (1u << MR_OPT)
#define NEO (1u << MR_GPTNEO)
#define NEOX (1u << MR_GPTNEOX)
#define BLOCKS (GPT2 | OPT | NEO | NEOX)
#define RWKV (1u << MR_RWKV4 | 1u << MR_RWKV5 | 1u << MR_RWKV6 | 1u << MR_RWKV7)
#define HEADED (1u << MR_RWKV5 | 1u << MR_RWKV6 | 1u << MR_RWKV7)
#define ALL (~0u)

/* Our keys under other names. */
static const struct {
    const char *theirs, *ours;
    unsigned families;
} aliases[] = {
    {"num_hidden_layers", "n_layer", ALL},
    {"num_layers", "n_layer", ALL},
    {"n_layers", "n_layer", ALL},
    {"hidden_size", "n_embd", ALL},
    {"d_model", "n_embd", ALL},
    {"n_embed", "n_embd", ALL},
    {"num_attention_heads", "n_head", BLOCKS},
    {"num_heads", "n_head", BLOCKS},
    {"n_heads", "n_head", BLOCKS},
    {"context_length", "block_size", RWKV},
    {"ctx_len", "block_size", RWKV},
    {"intermediate_size", "ffn_dim", RWKV},
    {"dim_ffn", "ffn_dim", RWKV},
    {"head_dim", "head_size", HEADED},
    {"layer_norm_epsilon", "ln_eps", BLOCKS},
    {"layer_norm_eps", "ln_eps", BLOCKS},
    {"norm_eps", "ln_eps", BLOCKS},
    {"norm_epsilon", "ln_eps", BLOCKS},
    {"tie_word_embeddings", "tied", BLOCKS},
    {"window_size", "window", NEO},
    {"max_position_embeddings", "block_size", NEOX},
    {"rotary_emb_base", "rotary_base", NEOX},
    {"rope_theta", "rotary_base", NEOX},
    {"partial_rotary_factor", "rotary_pct", NEOX},
    {"use_parallel_residual", "parallel", NEOX},
};

/* What is computed here in one way only. A flag's usual value is 0 or 1; WIDTH stands for n_embd, INNER for ffn_dim. */
static const struct {
    const char *key;
    unsigned families;
    enum { FLAG, WIDTH, INNER, POSITIONS, EPSILON, NOTHING } kind;
    double usual;
} fixed[] = {
    {"add_cross_attention", ALL, FLAG, 0},
    {"is_encoder_decoder", ALL, FLAG, 0},
    {"n_inner", BLOCKS, INNER, 0},
    {"intermediate_size", BLOCKS, INNER, 0},
    {"n_positions", GPT2, POSITIONS, 0},
    {"max_position_embeddings", GPT2 | OPT | NEO, POSITIONS, 0},
    {"attention_hidden_size", RWKV, WIDTH, 0},
    {"dim_att", RWKV, WIDTH, 0},
    {"word_embed_proj_dim", OPT, WIDTH, 0},
    {"do_layer_norm_before", OPT, FLAG, 1},
    {"enable_bias", OPT, FLAG, 1},
    {"layer_norm_elementwise_affine", OPT, FLAG, 1},
    {"_remove_final_layer_norm", OPT, FLAG, 0},
    {"attention_bias", NEOX, FLAG, 1},
    {"rope_scaling", NEOX, NOTHING, 0},
    {"rope_parameters", NEOX, NOTHING, 0},
    {"layer_norm_epsilon", ~BLOCKS, EPSILON, 1e-5},
    {"layer_norm_eps", ~BLOCKS, EPSILON, 1e-5},
    {"norm_eps", ~BLOCKS, EPSILON, 1e-5},
    {"norm_epsilon", ~BLOCKS, EPSILON, 1e-5},
};

/* What changes nothing in what a model computes, or is seen in the tensors anyway. */
static const char *const harmless[] = {
    "architectures",
    "auto_map",
    "model_type",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    "initializer_range",
    "gradient_checkpointing",
    "reorder_and_upcast_attn",
    "tie_word_embeddings",
    "rescale_every",
    "head_size_divisor",
    "num_attention_heads",
    "n_ctx",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "attention_dropout",
    "hidden_dropout_prob",
    "embedding_dropout",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "finetuning_task",
    "pruned_heads",
    "is_decoder",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "return_dict",
    "return_dict_in_generate",
    "output_scores",
    "task_specific_params",
    "prefix",
    "tokenizer_class",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "tie_encoder_decoder",
    "tf_legacy_loss",
    "attn_implementation",
    "do_sample",
    "early_stopping",
    "max_length",
    "min_length",
    "max_new_tokens",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "diversity_penalty",
    "length_penalty",
    "repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "exponential_decay_length_penalty",
    "remove_invalid_values",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "line_by_line",
    "license",
    "language",
    "tags",
    "activation_function",
    "hidden_act",
    "activation",
    "hidden_activation",
    "model_max_length",
    "hidden_ratio",
    "num_heads",
    "decay_low_rank_dim",
    "a_low_rank_dim",
    "v_low_rank_dim",
    "gate_low_rank_dim",
    "lora_rank_decay",
    "lora_rank_iclr",
    "lora_rank_value_residual_mix",
    "lora_rank_gate",
    "value_dim",
    "attn_mode",
    "fuse_norm",
    "fuse_cross_entropy",
    "fuse_linear_cross_entropy",
    "use_l2warp",
    "norm_first",
    "norm_bias",
    "padding_side",
    "init_std",
    "layerdrop",
    "activation_dropout",
    "resid_dropout",
    "embed_dropout",
    "classifier_dropout",
    "hidden_dropout",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "attention_types",
    "attention_layers",
};

static bool is_ours(const char *key)
{
    const char *name;
    for (int i = 0; (name = mr_config_key(i)); i++)
        if (!strcmp(name, key))
            return true;
    return false;
}

static bool is_of(unsigned families, const struct mr_config *cfg)
{
    return families >> cfg->family & 1;
}

static bool is_known(const struct mr_config *cfg, const char *key)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (is_of(aliases[i].families, cfg) && !strcmp(aliases[i].theirs, key))
            return true;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (is_of(fixed[i].families, cfg) && !strcmp(fixed[i].key, key))
            return true;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strcmp(harmless[i], key))
            return true;
    return *key == '_' || !strncmp(key, "summary_", 8) || is_ours(key);
}

/* Nothing is asked for: null, false, empty. */
static bool is_nothing(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) || (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

/* ---- aliases ----------------------------------------------------------------------------------------------------- */

static int apply_alias(struct mr_config *cfg, const json_t *said, const char *theirs, const char *ours)
{
    json_t *value = json_object_get(said, theirs), *own = json_object_get(said, ours);
    if (!value || json_is_null(value))
        return 0;
    if (!own || json_is_null(own))
        return mr_config_set_json(cfg, ours, value);
    return json_number_value(own) == json_number_value(value)
               ? 0
               : mr_fail(MR_EFILE, "its config.json says %s and %s, which mean the same but differ", ours, theirs);
}

static int apply_aliases(struct mr_config *cfg, const json_t *said)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (is_of(aliases[i].families, cfg))
            MR_TRY(apply_alias(cfg, said, aliases[i].theirs, aliases[i].ours));
    return 0;
}

static int apply_activation(struct mr_config *cfg, const json_t *said)
{
    static const char *const keys[] = {"activation_function", "hidden_act", "hidden_activation", "activation"};
    static const struct {
        const char *name;
        int gelu;
    } known[] = {{"gelu", MR_GELU_ERF},         {"gelu_python", MR_GELU_ERF},    {"gelu_new", MR_GELU_TANH},
                 {"gelu_fast", MR_GELU_TANH},   {"gelu_accurate", MR_GELU_TANH}, {"gelu_pytorch_tanh", MR_GELU_TANH},
                 {"quick_gelu", MR_GELU_QUICK}, {"relu", MR_GELU_RELU}};
    const char *name = NULL, *key = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !name; i++)
        name = json_string_value(json_object_get(said, key = keys[i]));
    if (!name || !is_of(BLOCKS, cfg))
        return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(known[i].name, name)) {
            cfg->gelu = known[i].gelu;
            return 0;
        }
    }
    return mr_fail(MR_EFILE, "its %s is %s: only gelu, gelu_new, quick_gelu and relu are supported", key, name);
}

/* GPT-2's two flags for how scores are scaled. */
static int apply_scale(struct mr_config *cfg, const json_t *said)
{
    bool layer = json_is_true(json_object_get(said, "scale_attn_by_inverse_layer_idx"));
    bool none = json_is_false(json_object_get(said, "scale_attn_weights"));
    if (!is_of(GPT2, cfg))
        return 0;
    if (layer && none)
        return mr_fail(MR_EFILE, "its scale_attn_weights is false and its scale_attn_by_inverse_layer_idx true: only "
                                 "one of these is supported");
    if (layer || none)
        cfg->attention_scale = layer ? MR_SCALE_LAYER : MR_SCALE_NONE;
    return 0;
}

/* Kinds of attention from block *at on: global and local in turn. */
static int check_kinds(const json_t *kinds, int *at)
{
    size_t i;
    json_t *kind;
    json_array_foreach((json_t *)(uintptr_t)kinds, i, kind) {
        const char *name = json_string_value(kind);
        if (!name || strcmp(name, (*at)++ % 2 ? "local" : "global") != 0)
            return mr_fail(MR_EFILE,
                           "the attention of its block %d is %.20s: only global and local in turn are supported",
                           *at - 1, name ? name : "(not a text)");
    }
    return 0;
}

/* [[["global", "local"], 6]], or a name for each block */
static int check_attention(const struct mr_config *cfg, const json_t *said)
{
    const json_t *types = json_object_get(said, "attention_types");
    size_t i;
    json_t *type;
    int at = 0;
    if (!is_of(NEO, cfg))
        return 0;
    json_array_foreach((json_t *)(uintptr_t)types, i, type) {
        json_int_t count = json_integer_value(json_array_get(type, 1));
        for (json_int_t n = 0; n < count && at < cfg->n_layer; n++)
            MR_TRY(check_kinds(json_array_get(type, 0), &at));
    }
    at = 0;
    return check_kinds(json_object_get(said, "attention_layers"), &at);
}

/* ---- what must be as it usually is ------------------------------------------------------------------------------- */

static int check_number(const char *key, const json_t *value, double wanted)
{
    return json_is_number(value) && fabs(json_number_value(value) - wanted) > 0.01 * wanted
               ? mr_fail(MR_EFILE, "its %s is %g: only %g is supported", key, json_number_value(value), wanted)
               : 0;
}

static int check_fixed(const struct mr_config *cfg, const json_t *said, size_t i)
{
    const json_t *value = json_object_get(said, fixed[i].key);
    switch (fixed[i].kind) {
    case FLAG:
        return json_is_boolean(value) && json_is_true(value) != (fixed[i].usual != 0)
                   ? mr_fail(MR_EFILE, "its %s is not %s: this is not supported", fixed[i].key,
                             fixed[i].usual != 0 ? "true" : "false")
                   : 0;
    case WIDTH:
        return check_number(fixed[i].key, value, cfg->n_embd);
    case INNER:
        return json_is_number(value) && json_number_value(value) != mr_ffn_width(cfg)
                   ? mr_fail(MR_EFILE, "its %s is %g, but its tensors have %d", fixed[i].key, json_number_value(value),
                             mr_ffn_width(cfg))
                   : 0;
    case POSITIONS:
        return check_number(fixed[i].key, value, cfg->block_size);
    case NOTHING:
        return value && !is_nothing(value) ? mr_fail(MR_EFILE, "its %s is set: this is not supported", fixed[i].key)
                                           : 0;
    case EPSILON:
        return check_number(fixed[i].key, value, fixed[i].usual);
    }
    return 0;
}

/* What the group norm of RWKV-5 and 6 divides by, squared, is in its epsilon. */
static void apply_divisor(struct mr_config *cfg, const json_t *said)
{
    const json_t *divisor = json_object_get(said, "head_size_divisor");
    double d = json_number_value(divisor);
    if (is_of(HEADED, cfg) && json_is_integer(divisor) && d > 0 && !json_object_get(said, "ln_x_eps"))
        cfg->ln_x_eps = 1e-5 * d * d;
}

static void warn_of_type(const struct mr_config *cfg, const json_t *said)
{
    static const char *const types[MR_FAMILIES] = {
        [MR_GPT2] = "gpt2",   [MR_RWKV4] = "rwkv", [MR_RWKV5] = "rwkv5",    [MR_RWKV6] = "rwkv6",
        [MR_RWKV7] = "rwkv7", [MR_OPT] = "opt",    [MR_GPTNEO] = "gpt_neo", [MR_GPTNEOX] = "gpt_neox"};
    const char *type = json_string_value(json_object_get(said, "model_type")), *own = types[cfg->family];
    if (type && *type && own && strcmp(type, own) && strcmp(type, mr_family_name(cfg->family)))
        mr_log(MR_LOG_WARNING,
               "config.json: its model_type is %.60s, but its tensors are those of a %s; it is read as that", type,
               mr_family_name(cfg->family));
}

static void warn_of_unknown(const struct mr_config *cfg, const json_t *said)
{
    char list[700] = "";
    const char *key;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)(uintptr_t)said, key, value) {
        if (is_known(cfg, key) || is_nothing(value))
            continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.60s", count++ ? ", " : "", key);
    }
    if (count)
        mr_log(MR_LOG_WARNING, "config.json: %d unknown keys are ignored: %s", count, list);
}

int mr_foreign_config(struct mr_config *cfg, const json_t *said)
{
    MR_TRY(apply_aliases(cfg, said));
    MR_TRY(apply_activation(cfg, said));
    MR_TRY(apply_scale(cfg, said));
    MR_TRY(check_attention(cfg, said));
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (is_of(fixed[i].families, cfg))
            MR_TRY(check_fixed(cfg, said, i));
    apply_divisor(cfg, said);
    warn_of_type(cfg, said);
    warn_of_unknown(cfg, said);
    return 0;
}
