/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a file says beside its tensors. A .mrw has "family", "mode" (MicroRWKV), "config", "tokenizer", "training" (see
 * formats/training.h), "checkpoint" (all that a training script for torch said) and "layout" ("bin": names and forms
 * are those of .bin files), and keeps what other programs added. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "formats/config_json.h"
#include "formats/export.h"
#include "formats/fla.h"
#include "formats/gguf.h"
#include "formats/transformer_config.h"
#include "formats/training.h"
#include "model/layer.h"

/* Keys of metadata that have a meaning here; all others are kept as they are. */
static bool is_reserved(const char *key)
{
    static const char *const keys[] = {"family", "mode",       "config",    "training", "tokenizer",     "checkpoint",
                                       "format", "model_args", "optimizer", "iter_num", "best_val_loss", "version",
                                       "layout", "n_vocab",    "n_embd",    "n_layer",  "data_type",     NULL};
    for (int i = 0; keys[i]; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* What a training script for torch said: of the source itself, or kept in a .mrw that was made from one. */
static const json_t *script_of(const mr_tensor_file *source)
{
    const json_t *kept = json_object_get(source->metadata, "checkpoint");
    if (json_is_object(kept))
        return kept;
    bool torch = json_object_get(source->metadata, "model_args") || json_object_get(source->metadata, "iter_num");
    return torch ? source->metadata : NULL;
}

static int keep_unknown(struct mr_export *e, const mr_tensor_file *source)
{
    const char *key;
    json_t *value;
    if (script_of(source) == source->metadata)
        return 0; /* goes into "checkpoint" as a whole */
    json_object_foreach(source->metadata, key, value)
        if (!is_reserved(key) && !(mr_is_gguf(source) && mr_gguf_says_key(key)))
            MR_TRY(mr_json_set(e->metadata, key, json_incref(value)));
    return 0;
}

static int family_and_config(struct mr_export *e)
{
    MR_TRY(mr_json_set(e->metadata, "family", json_string(mr_family_name(e->cfg.family))));
    if (mr_family(&e->cfg)->keys & MR_KEYS_MICRO)
        MR_TRY(mr_json_set(e->metadata, "mode", json_string(e->cfg.mode == MR_REFERENCE ? "reference" : "causal")));
    return mr_json_set(e->metadata, "config", mr_config_to_json(&e->cfg));
}

static int add_tokenizer(struct mr_export *e, const mr_stored_tokenizer *tokenizer)
{
    e->keeps_tokenizer = tokenizer != NULL;
    return tokenizer ? mr_json_set(e->metadata, "tokenizer", json_incref(mr_stored_tokenizer_json(tokenizer))) : 0;
}

static int for_mrw(struct mr_export *e, mr_tensor_file *source, const mr_stored_tokenizer *tokenizer)
{
    const json_t *script = script_of(source);
    json_t *training = NULL;
    MR_TRY(family_and_config(e));
    if (e->layout == MR_LAYOUT_BIN)
        MR_TRY(mr_json_set(e->metadata, "layout", json_string("bin")));
    MR_TRY(keep_unknown(e, source));
    MR_TRY(mr_training_json_of(source, &training));
    if (training)
        MR_TRY(mr_json_set(e->metadata, "training", training));
    if (script)
        MR_TRY(mr_json_set(e->metadata, "checkpoint", json_deep_copy(script)));
    return add_tokenizer(e, tokenizer);
}

/* safetensors can only say texts; the writer makes the JSON text of what is none. */
static int for_safetensors(struct mr_export *e, mr_tensor_file *source, const mr_stored_tokenizer *tokenizer)
{
    json_t *training = NULL;
    MR_TRY(family_and_config(e));
    MR_TRY(keep_unknown(e, source));
    MR_TRY(mr_training_json_of(source, &training));
    bool had = training != NULL;
    json_decref(training);
    if (had && !e->note_count)
        MR_TRY(mr_export_note(e, "the training state: only mrw and nanogpt hold it"));
    return add_tokenizer(e, tokenizer);
}

/* ---- .pt --------------------------------------------------------------------------------------------------------- */

/* The arguments that nanoGPT's model takes, and none that it would refuse; MicroRWKV takes its own as well. */
static json_t *model_args(const struct mr_config *cfg, const json_t *script)
{
    static const char *const plain[] = {"n_layer", "n_head", "n_embd", "block_size", "bias", "vocab_size", "dropout"};
    json_t *args =
        json_object_get(script, "model_args") ? json_deep_copy(json_object_get(script, "model_args")) : json_object();
    json_t *ours = mr_config_to_json(cfg), *value;
    const char *key;
    if (mr_family(cfg)->keys & MR_KEYS_MICRO)
        json_object_foreach(ours, key, value)
            mr_json_put(&args, key, json_incref(value));
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        mr_json_put(&args, plain[i], json_incref(json_object_get(ours, plain[i])));
    json_decref(ours);
    return args;
}

/* Where nothing said which groups the optimizer had: nanoGPT's two. */
static json_t *param_groups(const struct mr_params *params, const json_t *given)
{
    int decayed = 0, *numbers = mr_torch_numbers(params, &decayed);
    if (!numbers)
        return NULL;
    free(numbers);
    double lr = 6e-4, decay = 1e-1, beta1 = 0.9, beta2 = 0.95;
    if (mr_json_number_or(given, "learning_rate", lr, &lr) < 0 ||
        mr_json_number_or(given, "weight_decay", decay, &decay) < 0 ||
        mr_json_number_or(given, "beta1", beta1, &beta1) < 0 || mr_json_number_or(given, "beta2", beta2, &beta2) < 0)
        return NULL;
    json_t *groups = json_array();
    for (int g = 0; groups && g < 2; g++) {
        json_t *list = json_array();
        for (int i = g ? decayed : 0; i < (g ? params->count : decayed); i++)
            mr_json_push(&list, json_integer(i));
        mr_json_push(&groups, json_pack("{sf sf s[ff] sf sb sn sb sb sb sn so}", "weight_decay", g ? 0.0 : decay, "lr",
                                        lr, "betas", beta1, beta2, "eps", 1e-8, "amsgrad", 0, "foreach", "maximize", 0,
                                        "capturable", 0, "differentiable", 0, "fused", "params", list));
    }
    return groups;
}

static bool has_moments(const struct mr_export *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->outputs[i].kind == MR_OUTPUT_MOMENT)
            return true;
    return false;
}

static int add_optimizer(struct mr_export *e, const json_t *script, const json_t *given)
{
    const json_t *optimizer = json_object_get(script, "optimizer");
    json_t *copy = json_is_object(optimizer) ? json_deep_copy(optimizer) : json_object();
    if (json_object_get(copy, "state"))
        json_object_del(copy, "state"); /* what it has is in the tensors */
    if (!json_object_get(copy, "param_groups") &&
        mr_json_set(copy, "param_groups", param_groups(&e->params, given)) < 0) {
        json_decref(copy);
        return MR_EFILE;
    }
    return mr_json_set(e->metadata, "optimizer", copy);
}

static int for_nanogpt(struct mr_export *e, mr_tensor_file *source, const mr_stored_tokenizer *tokenizer)
{
    const json_t *script = script_of(source);
    json_t *training = NULL, *config = NULL;
    int err;
    MR_TRY(mr_training_json_of(source, &training));
    const json_t *given = json_object_get(training, "given");
    if (has_moments(e))
        MR_GO(add_optimizer(e, script, given));
    MR_GO(mr_json_set(e->metadata, "model_args", model_args(&e->cfg, script)));
    if (training)
        MR_GO(mr_json_set(e->metadata, "iter_num", json_incref(json_object_get(training, "iter"))));
    const json_t *said = json_object_get(script, "config");
    config = json_is_object(said)    ? json_deep_copy(said)
             : json_is_object(given) ? json_deep_copy(given)
                                     : json_object();
    if (mr_is_gpt2(&e->cfg) && e->cfg.gelu == MR_GELU_TANH) {
        mr_json_put(&config, "gelu", json_string("tanh"));
        MR_GO(mr_export_note(
            e, "the tanh form of GELU, for nanoGPT itself: it computes the erf form whatever the file says"));
    }
    MR_GO(mr_json_set(e->metadata, "config", config));
    config = NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)script, key, value)
        if (!json_object_get(e->metadata, key) && strcmp(key, "optimizer") != 0 && strcmp(key, "best_val_loss") != 0 &&
            strcmp(key, "model") != 0)
            MR_GO(mr_json_set(e->metadata, key, json_incref(value)));
    if (training && !script) /* of a run here: what a script does not count */
        MR_GO(mr_json_set(e->metadata, "training", json_incref(training)));
    err = add_tokenizer(e, tokenizer);
fail:
    json_decref(training);
    return err;
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static json_t *rwkv_config(const struct mr_config *c)
{
    static const char *const types[] = {"rwkv", "rwkv5", "rwkv6"}, *const classes[] = {"RwkvForCausalLM",
                                                                                       "Rwkv5ForCausalLM",
                                                                                       "Rwkv6ForCausalLM"};
    int version = mr_family(c)->rwkv - 4;
    json_t *config =
        json_pack("{ss s[s] si si si si si si sf si si si sb sb}", "model_type", types[version], "architectures",
                  classes[version], "hidden_size", c->n_embd, "attention_hidden_size", c->n_embd, "num_hidden_layers",
                  c->n_layer, "intermediate_size", mr_ffn_width(c), "vocab_size", c->vocab_size, "context_length",
                  c->block_size, "layer_norm_epsilon", 1e-5, "rescale_every", 6, "bos_token_id", 0, "eos_token_id", 0,
                  "tie_word_embeddings", 0, "use_cache", 1);
    if (config && version > 0) { /* as published, num_attention_heads is the width of a head */
        mr_json_put(&config, "head_size", json_integer(c->head_size));
        mr_json_put(&config, "num_attention_heads", json_integer(c->head_size));
        mr_json_put(&config, "ln_x_eps", json_real(c->ln_x_eps));
    }
    return config;
}

static int for_folder(struct mr_export *e)
{
    bool fla = e->layout == MR_LAYOUT_FLA;
    e->config = fla                             ? mr_fla_config(&e->cfg)
                : mr_family(&e->cfg)->parts.out ? mr_transformer_config(&e->cfg)
                                                : rwkv_config(&e->cfg);
    if (fla && fabs(e->cfg.ln_x_eps - 1e-5 * e->cfg.head_size) > 1e-6)
        MR_TRY(mr_export_note(e, "ln_x_eps %g: there it is the head's width times 1e-5", e->cfg.ln_x_eps));
    if (!e->config)
        return mr_fail(MR_ENOMEM, "out of memory: no config.json can be made");
    if (mr_is_gpt2(&e->cfg) && !e->cfg.bias)
        MR_TRY(mr_export_note(
            e, "that it has no biases: Hugging Face's gpt2 always has them, and starts those that are missing at 0"));
    int dtype = MR_DTYPE_F32;
    for (size_t i = 0; i < e->count; i++)
        if (e->tensors[i].ndim >= 2 && e->tensors[i].dtype != MR_DTYPE_F32)
            dtype = e->tensors[i].dtype;
    const char *name = dtype == MR_DTYPE_F16 ? "float16" : dtype == MR_DTYPE_BF16 ? "bfloat16" : "float32";
    return mr_json_set(e->config, "torch_dtype", json_string(name));
}

/* ---- .pth, .bin -------------------------------------------------------------------------------------------------- */

static int for_bin(struct mr_export *e, const struct mr_export_options *options)
{
    int dtype = options->dtype;
    for (size_t i = 0; dtype < 0 && i < e->count; i++)
        if (e->tensors[i].dtype != MR_DTYPE_F32)
            dtype = e->tensors[i].dtype;
    MR_TRY(mr_json_set(e->metadata, "n_vocab", json_integer(e->cfg.vocab_size)));
    MR_TRY(mr_json_set(e->metadata, "n_embd", json_integer(e->cfg.n_embd)));
    MR_TRY(mr_json_set(e->metadata, "n_layer", json_integer(e->cfg.n_layer)));
    return mr_json_set(e->metadata, "data_type",
                       json_string(mr_dtype_name(dtype < 0 ? MR_DTYPE_F32 : (enum mr_dtype)dtype)));
}

/* These say nothing but tensors: what was another value than the usual one is lost. */
static int note_config(struct mr_export *e)
{
    double usual = e->cfg.rwkv51 && e->target == MR_TARGET_BIN ? 1e-5 : 64e-5;
    if (mr_family(&e->cfg)->heads_by_size && (e->cfg.ln_x_eps < usual * 0.999 || e->cfg.ln_x_eps > usual * 1.001))
        return mr_export_note(e, "ln_x_eps %g: such a file is read with %g, so give --config ln_x_eps=%g with it",
                              e->cfg.ln_x_eps, usual, e->cfg.ln_x_eps);
    return 0;
}

/* ---- .gguf ------------------------------------------------------------------------------------------------------- */

/* The format that most numbers of matrices have. */
static enum mr_dtype usual_dtype(const struct mr_export *e)
{
    size_t counts[MR_DTYPES] = {0}, most = MR_DTYPE_F32;
    for (size_t i = 0; i < e->count; i++) {
        size_t count, bytes;
        if (e->tensors[i].ndim == 2 && !mr_file_tensor_size(&e->tensors[i], &count, &bytes))
            counts[e->tensors[i].dtype] += count;
    }
    for (size_t i = 0; i < MR_DTYPES; i++)
        most = counts[i] > counts[most] ? i : most;
    return (enum mr_dtype)most;
}

static int for_gguf(struct mr_export *e, mr_tensor_file *source, const mr_stored_tokenizer *tokenizer)
{
    const char *key;
    json_t *value;
    MR_TRY(mr_gguf_put_config(e->metadata, &e->cfg, usual_dtype(e)));
    json_object_foreach(source->metadata, key, value)
        if (!strncmp(key, "general.", 8) && !mr_gguf_says_key(key) && json_is_string(value))
            MR_TRY(mr_json_set(e->metadata, key, json_incref(value)));
    if (mr_is_gpt2(&e->cfg) && e->cfg.gelu == MR_GELU_ERF)
        MR_TRY(mr_export_note(
            e, "the erf form of GELU, for llama.cpp itself: it computes the tanh form whatever the file says"));
    if (mr_family(&e->cfg)->heads_by_size && fabs(e->cfg.ln_x_eps - 64e-5) > 1e-6)
        MR_TRY(mr_export_note(e, "ln_x_eps %g, for llama.cpp itself: it computes with 64e-5", e->cfg.ln_x_eps));
    return mr_gguf_put_tokenizer(e->metadata, tokenizer ? mr_stored_tokenizer_json(tokenizer) : NULL, &e->cfg,
                                 &e->keeps_tokenizer);
}

int mr_export_metadata(struct mr_export *e, mr_tensor_file *source, const struct mr_export_options *options)
{
    if (!(e->metadata = json_object()))
        return mr_fail(MR_ENOMEM, "out of memory");
    switch (e->target) {
    case MR_TARGET_MRW:
        return for_mrw(e, source, options->tokenizer);
    case MR_TARGET_SAFETENSORS:
        return for_safetensors(e, source, options->tokenizer);
    case MR_TARGET_NANOGPT:
        return for_nanogpt(e, source, options->tokenizer);
    case MR_TARGET_HF:
    case MR_TARGET_FLA:
        return for_folder(e);
    case MR_TARGET_GGUF:
        return for_gguf(e, source, options->tokenizer);
    case MR_TARGET_BIN:
        MR_TRY(note_config(e));
        return for_bin(e, options);
    default:
        return note_config(e);
    }
}
