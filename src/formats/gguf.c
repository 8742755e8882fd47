/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config_json.h"
#include "io/gguf.h"
#include "model/layer.h"

#define BLOCK "blk.%d."
#define ATT "blocks.%d.att."
#define FFN "blocks.%d.ffn."
#define MIX BLOCK "time_mix_"
#define CHANNEL BLOCK "channel_mix_"
#define W ".weight"

#define RWKV_NAMES                                                                                            \
    {ATT "ln_x.*", MIX "ln.*", 0, 0, 0}, {ATT "key.weight", MIX "key" W, 0, 0, 0},                            \
        {ATT "value.weight", MIX "value" W, 0, 0, 0}, {ATT "receptance.weight", MIX "receptance" W, 0, 0, 0}, \
        {ATT "gate.weight", MIX "gate" W, 0, 0, 0}, {ATT "output.weight", MIX "output" W, 0, 0, 0},           \
        {FFN "key.weight", CHANNEL "key" W, 0, 0, 0}, {FFN "value.weight", CHANNEL "value" W, 0, 0, 0},       \
        {FFN "receptance.weight", CHANNEL "receptance" W, 0, 0, 0}, {"emb.weight", "token_embd" W, 0, 0, 0},  \
        {"blocks.0.ln0.*", "token_embd_norm.*", 0, 0, 0}, {"blocks.%d.ln1.*", BLOCK "attn_norm.*", 0, 0, 0},  \
        {"blocks.%d.ln2.*", BLOCK "attn_norm_2.*", 0, 0, 0}, {"ln_out.*", "output_norm.*", 0, 0, 0},          \
        {"head.weight", "output" W, 0, 0, 0},                                                                 \
    {                                                                                                         \
        0                                                                                                     \
    }

static const struct mr_name_rule rwkv7[] = {
    {ATT "x_r", MIX "lerp_fused" W, MR_JOINED, 0, 6},
    {ATT "x_w", MIX "lerp_fused" W, MR_JOINED, 1, 6},
    {ATT "x_k", MIX "lerp_fused" W, MR_JOINED, 2, 6},
    {ATT "x_v", MIX "lerp_fused" W, MR_JOINED, 3, 6},
    {ATT "x_a", MIX "lerp_fused" W, MR_JOINED, 4, 6},
    {ATT "x_g", MIX "lerp_fused" W, MR_JOINED, 5, 6},
    {ATT "w0", MIX "w0" W, 0, 0, 0},
    {ATT "a0", MIX "a0" W, 0, 0, 0},
    {ATT "v0", MIX "v0" W, 0, 0, 0},
    {ATT "w1", MIX "w1" W, MR_TRANSPOSED, 0, 0},
    {ATT "w2", MIX "w2" W, MR_TRANSPOSED, 0, 0},
    {ATT "a1", MIX "a1" W, MR_TRANSPOSED, 0, 0},
    {ATT "a2", MIX "a2" W, MR_TRANSPOSED, 0, 0},
    {ATT "v1", MIX "v1" W, MR_TRANSPOSED, 0, 0},
    {ATT "v2", MIX "v2" W, MR_TRANSPOSED, 0, 0},
    {ATT "g1", MIX "g1" W, MR_TRANSPOSED, 0, 0},
    {ATT "g2", MIX "g2" W, MR_TRANSPOSED, 0, 0},
    {ATT "k_k", MIX "k_k" W, 0, 0, 0},
    {ATT "k_a", MIX "k_a" W, 0, 0, 0},
    {ATT "r_k", MIX "r_k" W, 0, 0, 0},
    {FFN "x_k", CHANNEL "lerp_k" W, 0, 0, 0},
    RWKV_NAMES,
};

/* Older files have the five mixtures apart. */
static const struct mr_name_rule rwkv6[] = {
    {ATT "time_maa_x", MIX "lerp_x" W, 0, 0, 0},
    {ATT "time_maa_w", MIX "lerp_fused" W, MR_JOINED, 0, 5},
    {ATT "time_maa_k", MIX "lerp_fused" W, MR_JOINED, 1, 5},
    {ATT "time_maa_v", MIX "lerp_fused" W, MR_JOINED, 2, 5},
    {ATT "time_maa_r", MIX "lerp_fused" W, MR_JOINED, 3, 5},
    {ATT "time_maa_g", MIX "lerp_fused" W, MR_JOINED, 4, 5},
    {ATT "time_maa_w", MIX "lerp_w" W, 0, 0, 0},
    {ATT "time_maa_k", MIX "lerp_k" W, 0, 0, 0},
    {ATT "time_maa_v", MIX "lerp_v" W, 0, 0, 0},
    {ATT "time_maa_r", MIX "lerp_r" W, 0, 0, 0},
    {ATT "time_maa_g", MIX "lerp_g" W, 0, 0, 0},
    {ATT "time_maa_w1", MIX "w1" W, MR_TRANSPOSED, 0, 0},
    {ATT "time_maa_w2", MIX "w2" W, MR_TRANSPOSED, 0, 0},
    {ATT "time_decay", MIX "decay" W, 0, 0, 0},
    {ATT "time_decay_w1", MIX "decay_w1" W, MR_TRANSPOSED, 0, 0},
    {ATT "time_decay_w2", MIX "decay_w2" W, MR_TRANSPOSED, 0, 0},
    {ATT "time_faaaa", MIX "first" W, 0, 0, 0},
    {FFN "time_maa_k", CHANNEL "lerp_k" W, 0, 0, 0},
    {FFN "time_maa_r", CHANNEL "lerp_r" W, 0, 0, 0},
    RWKV_NAMES,
};

#define H "transformer.h.%d."

static const struct mr_name_rule gpt2[] = {
    {H "ln_1.*", BLOCK "attn_norm.*", 0, 0, 0},
    {H "attn.c_attn.*", BLOCK "attn_qkv.*", 0, 0, 0},
    {H "attn.c_proj.*", BLOCK "attn_output.*", 0, 0, 0},
    {H "ln_2.*", BLOCK "ffn_norm.*", 0, 0, 0},
    {H "mlp.c_fc.*", BLOCK "ffn_up.*", 0, 0, 0},
    {H "mlp.c_proj.*", BLOCK "ffn_down.*", 0, 0, 0},
    {"transformer.wte.weight", "token_embd" W, 0, 0, 0},
    {"transformer.wpe.weight", "position_embd" W, 0, 0, 0},
    {"transformer.ln_f.*", "output_norm.*", 0, 0, 0},
    {"lm_head" W, "output" W, 0, 0, 0},
    {0},
};

static const struct {
    int family;
    const char *name;
    const struct mr_name_rule *rules;
} architectures[] = {{MR_GPT2, "gpt2", gpt2}, {MR_RWKV6, "rwkv6", rwkv6}, {MR_RWKV7, "rwkv7", rwkv7}};

enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

bool mr_is_gguf(const mr_tensor_file *source)
{
    return strcmp(source->format->name, "gguf") == 0;
}

const struct mr_name_rule *mr_gguf_rules(const struct mr_config *cfg)
{
    for (int i = 0; i < ARCHITECTURES; i++)
        if (architectures[i].family == cfg->family)
            return architectures[i].rules;
    return NULL;
}

int mr_gguf_family(const mr_tensor_file *source)
{
    const char *name = json_string_value(json_object_get(source->metadata, "general.architecture"));
    for (int i = 0; name && i < ARCHITECTURES; i++)
        if (!strcmp(architectures[i].name, name))
            return architectures[i].family;
    return mr_fail(MR_EFILE, "its general.architecture is %.60s: GGUF files of gpt2, rwkv6 and rwkv7 are read",
                   name ? name : "missing");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const char *architecture(const struct mr_config *cfg)
{
    return mr_family_name(cfg->family);
}

static const json_t *said(const mr_tensor_file *source, const struct mr_config *cfg, const char *key)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", architecture(cfg), key);
    return json_object_get(source->metadata, name);
}

/* What is seen in the tensors must be what is said. */
static int check_size(const mr_tensor_file *source, const struct mr_config *cfg, const char *key, int seen)
{
    const json_t *value = said(source, cfg, key);
    return json_is_integer(value) && json_integer_value(value) != seen
               ? mr_fail(MR_EFILE, "its %s.%s is %lld, but its tensors have %d", architecture(cfg), key,
                         (long long)json_integer_value(value), seen)
               : 0;
}

static int set_count(const mr_tensor_file *source, struct mr_config *cfg, const char *key, int *to)
{
    const json_t *value = said(source, cfg, key);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > 1 << 24)
        return mr_fail(MR_EFILE, "its %s.%s is not a positive integer", architecture(cfg), key);
    *to = (int)json_integer_value(value);
    return 0;
}

static int apply_epsilon(const mr_tensor_file *source, struct mr_config *cfg)
{
    const json_t *value = said(source, cfg, "attention.layer_norm_epsilon");
    bool other = json_is_number(value) && fabs(json_number_value(value) - 1e-5) > 1e-7;
    if (other && mr_is_gpt2(cfg)) {
        cfg->ln_eps = json_number_value(value);
        return 0;
    }
    return other ? mr_fail(MR_EFILE, "its %s.attention.layer_norm_epsilon is %g: only 1e-5 is supported",
                           architecture(cfg), json_number_value(value))
                 : 0;
}

/* The n-th layer's output matrices are stored divided by 2^(n / every), since llama.cpp halves the residual stream
 * behind every so many layers to keep f16 from overflowing. */
static int undo_rescaling(mr_tensor_file *source, const struct mr_config *cfg)
{
    static const char *const names[] = {"time_mix_output", "channel_mix_value"};
    const json_t *value = said(source, cfg, "rescale_every_n_layers");
    json_int_t every = json_integer_value(value);
    if (!every)
        return 0;
    if (every < 0 || cfg->n_layer / every > 100)
        return mr_fail(MR_EFILE, "its %s.rescale_every_n_layers is %lld, which is out of range", architecture(cfg),
                       (long long)every);
    for (int layer = (int)every; layer < cfg->n_layer; layer++) {
        for (int i = 0; i < 2; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, names[i]);
            int64_t at = mr_tensor_file_find(source, name);
            if (at >= 0)
                MR_TRY(mr_gguf_shift(source, (size_t)at, layer / (int)every));
        }
    }
    return 0;
}

/* What a file of ours says besides: the keys that llama.cpp has none for. */
static int apply_own(const mr_tensor_file *source, struct mr_config *cfg)
{
    static const char *const keys[] = {"gelu", "ln_x_eps", "block_size", "dropout", "tied"};
    const char *text = json_string_value(json_object_get(source->metadata, MR_GGUF_CONFIG));
    json_t *own = NULL;
    int err = text ? mr_json_parse(&own, text, strlen(text), MR_GGUF_CONFIG) : 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !err; i++)
        if (json_object_get(own, keys[i]))
            err = mr_config_set_json(cfg, keys[i], json_object_get(own, keys[i]));
    json_decref(own);
    return err;
}

int mr_gguf_config(mr_tensor_file *source, struct mr_config *cfg)
{
    MR_TRY(check_size(source, cfg, "block_count", cfg->n_layer));
    MR_TRY(check_size(source, cfg, "embedding_length", cfg->n_embd));
    MR_TRY(apply_epsilon(source, cfg));
    if (mr_is_gpt2(cfg)) {
        cfg->gelu = MR_GELU_TANH;
        MR_TRY(set_count(source, cfg, "attention.head_count", &cfg->n_head));
        MR_TRY(check_size(source, cfg, "feed_forward_length", mr_ffn_width(cfg)));
    } else {
        MR_TRY(set_count(source, cfg, "wkv.head_size", &cfg->head_size));
        MR_TRY(undo_rescaling(source, cfg));
    }
    return apply_own(source, cfg);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

bool mr_gguf_says_key(const char *key)
{
    static const char *const general[] = {"general.architecture",
                                          "general.type",
                                          "general.alignment",
                                          "general.file_type",
                                          "general.quantization_version",
                                          MR_GGUF_CONFIG,
                                          NULL};
    for (int i = 0; general[i]; i++)
        if (!strcmp(key, general[i]))
            return true;
    for (int i = 0; i < ARCHITECTURES; i++) {
        size_t size = strlen(architectures[i].name);
        if (!strncmp(key, architectures[i].name, size) && key[size] == '.')
            return true;
    }
    return !strncmp(key, "tokenizer.", 10);
}

static int put(json_t *keys, const struct mr_config *cfg, const char *key, json_t *value)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", architecture(cfg), key);
    return mr_json_set(keys, name, value);
}

static int put_size(json_t *keys, const struct mr_config *cfg, const char *key, int value)
{
    return put(keys, cfg, key, json_integer(value));
}

static int put_rwkv(json_t *keys, const struct mr_config *cfg)
{
    static const char *const seven[] = {"decay", "iclr", "value_residual_mix", "gate"};
    MR_TRY(put_size(keys, cfg, "context_length", 1 << 20));
    MR_TRY(put_size(keys, cfg, "feed_forward_length", mr_ffn_width(cfg)));
    MR_TRY(put_size(keys, cfg, "attention.head_count", 0));
    MR_TRY(put_size(keys, cfg, "wkv.head_size", cfg->head_size));
    if (mr_family(cfg)->rwkv == 6) {
        MR_TRY(put_size(keys, cfg, "rescale_every_n_layers", 0));
        MR_TRY(put_size(keys, cfg, "time_mix_extra_dim", mr_lora_width(cfg, 0)));
        return put_size(keys, cfg, "time_decay_extra_dim", mr_lora_width(cfg, 1));
    }
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "attention.%s_lora_rank", seven[i]);
        MR_TRY(put_size(keys, cfg, name, mr_lora_width(cfg, i)));
    }
    return 0;
}

/* general.file_type: what most of a file's matrices are. */
static int file_type_number(enum mr_dtype dtype)
{
    static const struct {
        enum mr_dtype dtype;
        int number;
    } types[] = {{MR_DTYPE_F16, 1},   {MR_DTYPE_Q4_0, 2},  {MR_DTYPE_Q4_1, 3},  {MR_DTYPE_Q8_0, 7},
                 {MR_DTYPE_Q5_0, 8},  {MR_DTYPE_Q5_1, 9},  {MR_DTYPE_Q2_K, 10}, {MR_DTYPE_Q3_K, 12},
                 {MR_DTYPE_Q4_K, 15}, {MR_DTYPE_Q5_K, 17}, {MR_DTYPE_Q6_K, 18}, {MR_DTYPE_BF16, 32}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype)
            return types[i].number;
    return 0;
}

int mr_gguf_put_config(json_t *keys, const struct mr_config *cfg, enum mr_dtype file_type)
{
    json_t *own = mr_config_to_json(cfg);
    char *text = own ? mr_json_text(own) : NULL;
    int err;
    MR_GO(mr_json_set(keys, "general.architecture", json_string(architecture(cfg))));
    MR_GO(mr_json_set(keys, "general.type", json_string("model")));
    MR_GO(mr_json_set(keys, "general.file_type", json_integer(file_type_number(file_type))));
    if (mr_dtype_block(file_type) > 1)
        MR_GO(mr_json_set(keys, "general.quantization_version", json_integer(2)));
    MR_GO(put_size(keys, cfg, "block_count", cfg->n_layer));
    MR_GO(put_size(keys, cfg, "embedding_length", cfg->n_embd));
    MR_GO(put(keys, cfg, "attention.layer_norm_epsilon", json_real(cfg->ln_eps)));
    if (mr_is_gpt2(cfg)) {
        MR_GO(put_size(keys, cfg, "context_length", cfg->block_size));
        MR_GO(put_size(keys, cfg, "feed_forward_length", mr_ffn_width(cfg)));
        MR_GO(put_size(keys, cfg, "attention.head_count", cfg->n_head));
    } else {
        MR_GO(put_rwkv(keys, cfg));
    }
    err = mr_json_set(keys, MR_GGUF_CONFIG, text ? json_string(text) : NULL);
fail:
    json_decref(own);
    free(text);
    return err;
}
