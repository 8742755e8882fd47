/* SPDX-License-Identifier: GPL-3.0-or-later
 * Family and configuration of a file of tensors. Sizes come from shapes; what the file says of itself is laid over
 * them. */
#include <stdio.h>
#include <string.h>

#include "formats/config_json.h"
#include "formats/fla.h"
#include "formats/foreign_config.h"
#include "formats/gguf.h"
#include "formats/names.h"
#include "model/layer.h"

struct view {
    mr_tensor_file *source;
    const struct mr_naming *naming;
};

static const struct mr_file_tensor *find(const struct view *v, const char *name)
{
    int64_t i = mr_naming_find(v->source, v->naming, name, NULL);
    return i < 0 ? NULL : &v->source->tensors[i];
}

static int64_t elements(const struct view *v, const char *name)
{
    const struct mr_file_tensor *t = find(v, name);
    return t ? mr_tensor_elements(t) : 0;
}

/* How many of "format"0, 1, 2, … are there. */
static int count_numbered(const struct view *v, const char *format)
{
    char name[128];
    int n = 0;
    do
        snprintf(name, sizeof name, format, n);
    while (find(v, name) && ++n < 1 << 16);
    return n;
}

static int set_size(struct mr_config *cfg, const char *key, int64_t value)
{
    const struct mr_value number = {.kind = MR_VALUE_INT, .integer = value};
    return mr_config_set(cfg, key, &number, NULL) ? MR_EFILE : 0;
}

/* A width that elements of a tensor give; one that no model has is left to the check of the configuration. */
static int width_of(int64_t elements, int n_embd)
{
    return elements / n_embd < 1 << 30 ? (int)(elements / n_embd) : 1 << 30;
}

static int embedding(const struct view *v, const char *name, struct mr_config *cfg)
{
    const struct mr_file_tensor *e = find(v, name);
    if (!e || e->ndim != 2)
        return mr_fail(MR_EFILE, "there is no embedding %s of two dimensions", name);
    if (e->shape[0] < 1 || e->shape[1] < 1)
        return mr_fail(MR_EFILE, "the embedding %s is empty", name);
    MR_TRY(set_size(cfg, "vocab_size", e->shape[0]));
    return set_size(cfg, "n_embd", e->shape[1]);
}

/* ---- MicroRWKV, nanoRWKV, GPT-2, OPT, GPT-Neo, GPT-NeoX ---------------------------------------------------------- */

static int micro_sizes(const struct view *v, struct mr_config *cfg)
{
    const struct mr_file_tensor *gate = find(v, "transformer.h.0.moe.gate.weight");
    const struct mr_file_tensor *expert = find(v, "transformer.h.0.moe.experts.0.weight");
    cfg->n_layer = count_numbered(v, "transformer.h.%d.moe.gate.weight");
    if (!gate || !expert)
        return mr_fail(MR_EFILE, "a MicroRWKV model needs moe.gate.weight and moe.experts.0.weight in its first block");
    MR_TRY(set_size(cfg, "num_experts", gate->shape[0]));
    cfg->num_active_experts = count_numbered(v, "transformer.h.0.moe.experts.%d.weight");
    if (mr_expert_width(cfg) == expert->shape[0])
        return 0;
    if (expert->ndim != 2 || expert->shape[0] > 1 << 24)
        return mr_fail(MR_EFILE, "the shape of transformer.h.0.moe.experts.0.weight is not an expert's");
    /* int(expert_dim · 1.2) = D: the smallest expert_dim that gives it. */
    cfg->expert_capacity_scale = 1.2;
    cfg->expert_dim = (int)((double)expert->shape[0] / 1.2);
    for (int i = 0; i < 3 && mr_expert_width(cfg) < expert->shape[0]; i++)
        cfg->expert_dim++;
    return 0;
}

/* The MLP's: how its first product lies does not matter. */
static void inner_width(const struct view *v, struct mr_config *cfg)
{
    const struct mr_family *family = mr_family(cfg);
    const char *mlp = mr_family_branches(cfg)[1].chain[1].name;
    char block[64], name[128];
    snprintf(block, sizeof block, family->block_prefix, 0);
    snprintf(name, sizeof name, "%s%s%s%s.weight", block, mlp, *mlp ? "." : "", family->parts.wide);
    int width = width_of(elements(v, name), cfg->n_embd);
    cfg->ffn_dim = width == 4 * cfg->n_embd ? 0 : width;
}

/* Sizes that follow from shapes: all but the heads of attention. */
static int sizes(const struct view *v, struct mr_config *cfg)
{
    const struct mr_family *family = mr_family(cfg);
    const struct mr_file_tensor *wpe = family->positions ? find(v, family->positions) : NULL,
                                *decay = find(v, "transformer.h.0.tmix.time_decay");
    char name[128];
    MR_TRY(embedding(v, family->embedding, cfg));
    if (wpe && wpe->ndim == 2)
        MR_TRY(set_size(cfg, "block_size", wpe->shape[0] - family->first_place));
    if (family->positions)
        cfg->positions = wpe ? MR_POSITIONS_LEARNED : MR_POSITIONS_NONE;
    snprintf(name, sizeof name, "%sbias", family->final_norm);
    cfg->bias = find(v, name) != NULL;
    if (decay)
        MR_TRY(set_size(cfg, "n_head", mr_tensor_elements(decay)));
    if (mr_family(cfg)->keys & MR_KEYS_MICRO)
        return micro_sizes(v, cfg);
    snprintf(name, sizeof name, "%s%s.weight", family->block_prefix, mr_family_branches(cfg)->chain[0].name);
    cfg->n_layer = count_numbered(v, name);
    if (family->parts.wide)
        inner_width(v, cfg);
    return 0;
}

/* Transposed weights have the shape (C, 3C). */
static bool is_transposed(const struct view *v)
{
    const struct mr_file_tensor *w = find(v, "transformer.h.0.attn.c_attn.weight");
    return w && w->ndim == 2 && w->shape[1] == 3 * w->shape[0];
}

static int recognise_own(const struct view *v, struct mr_config *cfg, struct mr_naming *naming)
{
    if (find(v, "transformer.h.0.moe.gate.weight"))
        mr_config_defaults(cfg, MR_MICRORWKV);
    else if (find(v, "transformer.h.0.tmix.time_decay"))
        mr_config_defaults(cfg, MR_NANORWKV);
    else if (find(v, "transformer.h.0.attn.c_attn.weight"))
        mr_config_defaults(cfg, MR_GPT2);
    else if (find(v, "transformer.h.0.attn.attention.q_proj.weight"))
        mr_config_defaults(cfg, MR_GPTNEO);
    else if (find(v, "model.decoder.embed_tokens.weight"))
        mr_config_defaults(cfg, MR_OPT);
    else if (find(v, "gpt_neox.embed_in.weight"))
        mr_config_defaults(cfg, MR_GPTNEOX);
    else
        return mr_fail(
            MR_EFILE,
            "it has an embedding like GPT-2's, but its first block is of no known family: the tensors begin with %s",
            v->source->tensors[0].name);
    if (mr_is_gpt2(cfg) && is_transposed(v)) {
        cfg->gelu = MR_GELU_TANH; /* the released weights */
        naming->layout = naming->layout == MR_LAYOUT_BARE ? MR_LAYOUT_GPT2 : MR_LAYOUT_HF_GPT2;
    }
    return sizes(v, cfg);
}

/* ---- blocks.N.*: RWKV-4 to 7 ------------------------------------------------------------------------------------- */

static int no_version(const struct view *v)
{
    return mr_fail(MR_EFILE, "its tensors are those of an RWKV, but of no known version (4, 5.1, 5.2, 6 or 7)%s",
                   find(v, "blocks.0.att.gate.weight") ? ": a gate goes with time_faaaa or time_maa_x" : "");
}

static int version(const struct view *v, struct mr_config *cfg)
{
    bool joined = mr_tensor_file_find(v->source, "blocks.0.att.x_rwkvag") >= 0;
    bool gate = find(v, "blocks.0.att.gate.weight") != NULL, norm = find(v, "blocks.0.att.ln_x.weight") != NULL;
    if (find(v, "blocks.0.att.r_k") && (joined || find(v, "blocks.0.att.x_r")))
        mr_config_defaults(cfg, MR_RWKV7);
    else if (find(v, "blocks.0.att.time_maa_x"))
        mr_config_defaults(cfg, MR_RWKV6);
    else if (gate && norm && find(v, "blocks.0.att.time_faaaa"))
        mr_config_defaults(cfg, MR_RWKV5);
    else if (!gate && norm && find(v, "blocks.0.att.time_first"))
        mr_config_defaults(cfg, MR_RWKV5), cfg->rwkv51 = true;
    else if (!gate && !norm && find(v, "blocks.0.att.time_first"))
        mr_config_defaults(cfg, MR_RWKV4);
    else
        return no_version(v);
    return 0;
}

/* The heads: (H,N) of a tensor with a number for each channel, or one number for each head. */
static int heads(const struct view *v, struct mr_config *cfg)
{
    const char *name = mr_family(cfg)->rwkv == 7 ? "blocks.0.att.r_k"
                       : cfg->rwkv51             ? "blocks.0.att.time_decay"
                                                 : "blocks.0.att.time_faaaa";
    const struct mr_file_tensor *t = find(v, name);
    int64_t count = t ? mr_tensor_elements(t) : 0, heads = cfg->rwkv51 ? count : 0;
    if (count && !cfg->rwkv51 && t->ndim >= 2)
        heads = t->shape[0] > 1 ? t->shape[0] : t->ndim == 2 ? 1 : t->shape[1] > 1 ? t->shape[1] : 1;
    if (!heads)
        return 0; /* the usual width, if it fits */
    if (cfg->rwkv51 && t->ndim >= 2 && t->shape[0] > 1 && t->shape[1] > 1)
        return mr_fail(MR_EFILE,
                       "%s of RWKV-5.1 is repeated for each channel, as .st files have it: this is not supported, "
                       "take the .pth that it was made of",
                       name);
    if (cfg->n_embd % heads)
        return mr_fail(MR_EFILE, "%s has %lld heads, which do not divide the width %d", name, (long long)heads,
                       cfg->n_embd);
    cfg->head_size = (int)(cfg->n_embd / heads);
    return 0;
}

static void low_ranks(const struct view *v, struct mr_config *cfg)
{
    static const char *const six[] = {"blocks.0.att.time_maa_w1", "blocks.0.att.time_decay_w1", NULL};
    static const char *const seven[] = {"blocks.0.att.w1", "blocks.0.att.a1", "blocks.0.att.v1", "blocks.0.att.g1",
                                        NULL};
    if (mr_family(cfg)->rwkv < 6)
        return;
    const char *const *names = mr_family(cfg)->rwkv == 6 ? six : seven;
    for (int i = 0; names[i]; i++)
        cfg->lora_dim[i] = width_of(elements(v, names[i]), cfg->n_embd);
    if (mr_family(cfg)->rwkv == 6)
        cfg->lora_dim[0] /= 5;                          /* five mixtures side by side */
    if (mr_family(cfg)->rwkv == 7 && !cfg->lora_dim[2]) /* block 0 does not use its own, and may lack it */
        cfg->lora_dim[2] = width_of(elements(v, "blocks.1.att.v1"), cfg->n_embd);
}

/* Whether RWKV-7's low-rank pairs lie transposed: decided by the first that is not square. */
static bool pairs_are_transposed(const struct view *v)
{
    static const char *const pairs[] = {"blocks.0.att.w1", "blocks.0.att.a1", "blocks.0.att.g1", "blocks.1.att.v1"};
    const struct mr_file_tensor *embedding = find(v, "emb.weight");
    for (size_t i = 0; embedding && embedding->ndim == 2 && i < sizeof pairs / sizeof *pairs; i++) {
        const struct mr_file_tensor *t = find(v, pairs[i]);
        if (t && t->ndim == 2 && t->shape[0] != t->shape[1])
            return t->shape[1] == embedding->shape[1];
    }
    return false;
}

/* Whether the names and shapes are those of .st files; RWKV-4's are the same there. */
static void find_st(const struct view *v, struct mr_naming *naming)
{
    struct mr_config family = {.family = MR_FAMILIES};
    if (find(v, "blocks.0.att.time_mix_w1"))
        family.family = MR_RWKV6;
    else if (find(v, "blocks.0.att.r_k") && pairs_are_transposed(v))
        family.family = MR_RWKV7;
    else if (find(v, "blocks.0.att.gate.weight") && find(v, "blocks.0.att.ln_x.weight") &&
             find(v, "blocks.0.att.time_first"))
        family.family = MR_RWKV5;
    if (family.family == MR_FAMILIES)
        return;
    naming->layout = MR_LAYOUT_ST;
    naming->rules = mr_layout_rules(MR_LAYOUT_ST, &family);
}

static int recognise_rwkv(const struct view *v, struct mr_config *cfg, struct mr_naming *naming)
{
    const char *layout = json_string_value(json_object_get(v->source->metadata, "layout"));
    bool bin = strcmp(v->source->format->name, "bin") == 0 || (layout && strcmp(layout, "bin") == 0);
    if (!bin && naming->layout == MR_LAYOUT_OWN)
        find_st(v, naming);
    MR_TRY(version(v, cfg));
    MR_TRY(embedding(v, "emb.weight", cfg));
    cfg->n_layer = count_numbered(v, "blocks.%d.ln1.weight");
    cfg->ffn_dim = width_of(elements(v, "blocks.0.ffn.key.weight"), cfg->n_embd);
    if (mr_family(cfg)->rwkv != 4)
        MR_TRY(heads(v, cfg));
    low_ranks(v, cfg);
    if (bin)
        naming->layout = MR_LAYOUT_BIN;
    if (bin && cfg->rwkv51)
        cfg->ln_x_eps = 1e-5;
    return 0;
}

/* Heads where nobody said them: 64 wide if that divides the width. */
static int default_heads(struct mr_config *cfg, const struct mr_settings *overrides)
{
    if (mr_family(cfg)->whole_block && !cfg->n_head && !mr_settings_find(overrides, "n_head")) {
        if (cfg->n_embd % 64)
            return mr_fail(MR_EINVAL,
                           "cannot infer n_head: the file does not give it, and 64 does not divide the width %d; give "
                           "--config n_head=N",
                           cfg->n_embd);
        cfg->n_head = cfg->n_embd / 64;
        mr_log(MR_LOG_WARNING,
               "the file does not give n_head: assuming %d heads of width 64; --config n_head=N overrides it",
               cfg->n_head);
    }
    if (mr_family(cfg)->rwkv == 4)
        cfg->n_head = 1; /* its channels are alone */
    if (!mr_family(cfg)->heads_by_size)
        return 0;
    const struct mr_value *size = mr_settings_find(overrides, "head_size");
    int width = size && size->kind == MR_VALUE_INT && size->integer > 0 && size->integer <= cfg->n_embd
                    ? (int)size->integer
                    : cfg->head_size;
    if (width < 1 || cfg->n_embd % width)
        return mr_fail(MR_EINVAL,
                       "cannot infer head_size: the file does not give it, and %d does not divide the width %d; give "
                       "--config head_size=N",
                       width, cfg->n_embd);
    cfg->n_head = cfg->n_embd / width;
    return 0;
}

/* ---- what the file says of itself -------------------------------------------------------------------------------- */

/* A MicroRWKV file that does not say its mode holds a published checkpoint. */
static int reference_mode(struct mr_config *cfg, const json_t *said)
{
    const json_t *dim = json_object_get(said, "dim");
    if (json_is_integer(dim) && json_integer_value(dim) != cfg->n_embd)
        return mr_fail(MR_EFILE, "its dim is %lld where n_embd is %d: the two must be equal",
                       (long long)json_integer_value(dim), cfg->n_embd);
    cfg->mode = MR_REFERENCE;
    cfg->aux = MR_AUX_NONE;
    cfg->moe = MR_MOE_DENSE;
    cfg->positions = MR_POSITIONS_LEARNED;
    return 0;
}

/* An object of the metadata, which safetensors can only hold as text; freed by the caller. NULL: there is none. */
static int said_object(const mr_tensor_file *source, const char *key, json_t **said)
{
    json_t *value = json_object_get(source->metadata, key);
    const char *text = json_string_value(value);
    int err = text ? mr_json_parse(said, text, strlen(text), source->path) : 0;
    if (json_is_object(value))
        *said = json_incref(value);
    return err == MR_ENOMEM ? err : 0;
}

static int check_family(const struct mr_config *cfg, const mr_tensor_file *source)
{
    const char *family = json_string_value(json_object_get(source->metadata, "family"));
    if (!family || !*family)
        return 0;
    int named = mr_family_by_name(family);
    if (named < 0)
        return MR_EFILE;
    return named == cfg->family ? 0
                                : mr_fail(MR_EFILE, "it says that it is a %s, but its tensors are those of a %s",
                                          family, mr_family_name(cfg->family));
}

static int apply_mode(const mr_tensor_file *source, const json_t *said, const struct mr_settings *overrides,
                      struct mr_config *cfg)
{
    const char *mode = json_string_value(json_object_get(source->metadata, "mode"));
    if (!(mr_family(cfg)->keys & MR_KEYS_MICRO))
        return 0;
    if (mode && *mode) {
        MR_TRY(mr_config_set_json(cfg, "mode", json_object_get(source->metadata, "mode")));
    } else if (!json_object_get(said, "mode") && !mr_settings_find(overrides, "mode")) {
        return reference_mode(cfg, said);
    }
    return cfg->mode == MR_REFERENCE ? reference_mode(cfg, said) : 0;
}

/* Lays over cfg what the file says: a training program's own "config" knows less than "model_args" or shapes. */
static int apply_said(const struct view *v, const struct mr_settings *overrides, struct mr_config *cfg)
{
    json_t *args = NULL, *config = NULL;
    int err;
    MR_GO(said_object(v->source, "model_args", &args));
    MR_GO(said_object(v->source, "config", &config));
    const json_t *said = args ? args : config ? config : v->source->config;
    if (json_object_get(config, "learning_rate") && !mr_family(cfg)->rwkv) {
        MR_GO(mr_config_set_all_json(cfg, config));
        MR_GO(sizes(v, cfg));
    }
    if (said && !(said == config && json_object_get(config, "learning_rate")))
        MR_GO(mr_config_set_all_json(cfg, said));
    if (said && said == v->source->config)
        MR_GO(mr_foreign_config(cfg, said));
    if (said && v->naming->layout == MR_LAYOUT_FLA)
        mr_fla_apply(cfg, said);
    if (mr_is_gpt2(cfg) && json_object_get(config, "gelu")) /* which "model_args" cannot say */
        MR_GO(mr_config_set_json(cfg, "gelu", json_object_get(config, "gelu")));
    err = apply_mode(v->source, said, overrides, cfg);
fail:
    json_decref(args);
    json_decref(config);
    return err == MR_EINVAL ? MR_EFILE : err;
}

int mr_recognise(mr_tensor_file *source, const struct mr_settings *overrides, struct mr_config *cfg,
                 struct mr_naming *naming)
{
    struct view v = {source, naming};
    MR_TRY(mr_naming_of(source, naming));
    if (naming->layout == MR_LAYOUT_GGUF) {
        struct mr_config family = {.family = mr_gguf_family(source)};
        MR_TRY(family.family);
        naming->rules = mr_layout_rules(MR_LAYOUT_GGUF, &family);
    }
    if (naming->layout == MR_LAYOUT_FLA)
        MR_TRY(mr_fla_check(source, naming->prefix));
    bool rwkv = find(&v, "emb.weight") != NULL;
    MR_TRY(rwkv ? recognise_rwkv(&v, cfg, naming) : recognise_own(&v, cfg, naming));
    naming->rules = mr_layout_rules(naming->layout, cfg);
    MR_TRY(check_family(cfg, source));
    if (mr_family(cfg)->whole_block)
        cfg->n_head = 0;
    int blocks = cfg->n_layer;
    MR_TRY(naming->layout == MR_LAYOUT_GGUF ? mr_gguf_config(source, cfg) : apply_said(&v, overrides, cfg));
    if (cfg->n_layer != blocks) /* before so many blocks are declared */
        return mr_fail(MR_EFILE, "it says that it has %d blocks (n_layer), but its tensors have %d", cfg->n_layer,
                       blocks);
    return default_heads(cfg, overrides);
}
