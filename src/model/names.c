/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

/* What training scripts put before the names of parameters. */
static const char *const prefixes[] = {"", "model.", "model._orig_mod.", "_orig_mod.", "module."};

int64_t mr_find_parameter(mr_tensor_file *source, const struct mr_config *cfg, const char *name)
{
    (void)cfg;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        char full[256];
        snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        int64_t found = mr_tensor_file_find(source, full);
        if (found >= 0)
            return found;
    }
    return -1;
}

static const struct mr_file_tensor *find(mr_tensor_file *source, const char *name)
{
    int64_t i = mr_find_parameter(source, NULL, name);
    return i < 0 ? NULL : &source->tensors[i];
}

/* How many of "format"0, 1, 2, … are there. */
static int count_numbered(mr_tensor_file *source, const char *format)
{
    char name[128];
    int n = 0;
    do
        snprintf(name, sizeof name, format, n);
    while (find(source, name) && ++n < 1 << 16);
    return n;
}

static int set_size(struct mr_config *cfg, const char *key, int64_t value)
{
    json_t *number = json_integer(value);
    if (!number)
        return mr_fail(MR_ENOMEM, "out of memory");
    int err = mr_config_set(cfg, key, number, NULL);
    json_decref(number);
    return err;
}

/* Sizes that the shapes of the nanoGPT layout tell (all but the heads of attention). */
static int sizes_from_shapes(mr_tensor_file *source, struct mr_config *cfg)
{
    const struct mr_file_tensor *wte = find(source, "transformer.wte.weight"), *wpe = find(source, "transformer.wpe.weight");
    if (!wte || wte->ndim != 2)
        return mr_fail(MR_EFILE, "there is no embedding transformer.wte.weight of two dimensions");
    MR_TRY(set_size(cfg, "vocab_size", wte->shape[0]));
    MR_TRY(set_size(cfg, "n_embd", wte->shape[1]));
    if (wpe && wpe->ndim == 2)
        MR_TRY(set_size(cfg, "block_size", wpe->shape[0]));
    cfg->positions = wpe ? MR_POSITIONS_LEARNED : MR_POSITIONS_NONE;
    cfg->bias = find(source, "transformer.ln_f.bias") != NULL;
    const struct mr_file_tensor *decay = find(source, "transformer.h.0.tmix.time_decay");
    if (decay)
        MR_TRY(set_size(cfg, "n_head", decay->shape[0]));
    else
        cfg->n_head = cfg->n_embd % 64 == 0 ? cfg->n_embd / 64 : 0;
    return 0;
}

static int micro_from_shapes(mr_tensor_file *source, struct mr_config *cfg)
{
    const struct mr_file_tensor *gate = find(source, "transformer.h.0.moe.gate.weight");
    const struct mr_file_tensor *expert = find(source, "transformer.h.0.moe.experts.0.weight");
    cfg->n_layer = count_numbered(source, "transformer.h.%d.moe.gate.weight");
    if (!gate || !expert)
        return mr_fail(MR_EFILE, "a MicroRWKV model needs moe.gate.weight and moe.experts.0.weight in its first block");
    MR_TRY(set_size(cfg, "num_experts", gate->shape[0]));
    cfg->num_active_experts = count_numbered(source, "transformer.h.0.moe.experts.%d.weight");
    /* int(expert_dim · 1.2) = D: the smallest expert_dim that gives it. */
    cfg->expert_capacity_scale = 1.2;
    cfg->expert_dim = (int)(expert->shape[0] / 1.2);
    for (int i = 0; i < 3 && mr_expert_width(cfg) < expert->shape[0]; i++)
        cfg->expert_dim++;
    return 0;
}

static int family_from_names(mr_tensor_file *source, struct mr_config *cfg)
{
    if (find(source, "transformer.h.0.moe.gate.weight"))
        mr_config_defaults(cfg, MR_MICRORWKV);
    else if (find(source, "transformer.h.0.tmix.time_decay"))
        mr_config_defaults(cfg, MR_NANORWKV);
    else if (find(source, "transformer.h.0.attn.c_attn.weight"))
        mr_config_defaults(cfg, MR_GPT2);
    else
        return mr_fail(MR_EFILE, "the names of its tensors are of no known model (the first is %s)",
                       source->count ? source->tensors[0].name : "missing");
    MR_TRY(sizes_from_shapes(source, cfg));
    if (cfg->family == MR_MICRORWKV)
        return micro_from_shapes(source, cfg);
    cfg->n_layer = count_numbered(source, "transformer.h.%d.ln_1.weight");
    return 0;
}

/* A MicroRWKV file that does not say its mode holds a published checkpoint. */
static int reference_mode(struct mr_config *cfg, const json_t *said)
{
    const json_t *dim = json_object_get(said, "dim");
    if (json_is_integer(dim) && json_integer_value(dim) != cfg->n_embd)
        return mr_fail(MR_EFILE, "its dim is %lld where n_embd is %d: the two must be equal", (long long)json_integer_value(dim), cfg->n_embd);
    cfg->mode = MR_REFERENCE;
    cfg->aux = MR_AUX_NONE;
    cfg->moe = MR_MOE_DENSE;
    cfg->positions = MR_POSITIONS_LEARNED;
    return 0;
}

static json_t *said_config(mr_tensor_file *source, json_t **parsed)
{
    const char *keys[] = {"config", "model_args"};
    for (int i = 1; i >= 0; i--) {
        json_t *value = json_object_get(source->metadata, keys[i]);
        if (json_is_object(value))
            return value;
        if (json_is_string(value) && (*parsed = json_loads(json_string_value(value), 0, NULL)))
            return *parsed;
    }
    return source->config;
}

int mr_recognise(mr_tensor_file *source, const json_t *overrides, struct mr_config *cfg)
{
    json_t *parsed = NULL, *said = said_config(source, &parsed);
    const char *family = json_string_value(json_object_get(source->metadata, "family"));
    const char *mode = json_string_value(json_object_get(source->metadata, "mode"));
    int err = family_from_names(source, cfg);
    if (!err && family && *family) {
        int named = mr_family_by_name(family);
        err = named < 0 ? MR_EFILE : named != cfg->family ? mr_fail(MR_EFILE, "it says that it is a %s, but its tensors are those of a %s", family,
                                                                    mr_family_name(cfg->family)) : 0;
    }
    if (!err && json_is_object(said))
        err = mr_config_set_all(cfg, said);
    bool says_mode = (mode && *mode) || json_object_get(said, "mode") || json_object_get(overrides, "mode");
    if (!err && cfg->family == MR_MICRORWKV && !says_mode)
        err = reference_mode(cfg, said);
    if (!err && mode && *mode) {
        json_t *value = json_string(mode);
        err = mr_config_set(cfg, "mode", value, NULL);
        json_decref(value);
        if (!err && cfg->family == MR_MICRORWKV && cfg->mode == MR_REFERENCE)
            err = reference_mode(cfg, said);
    }
    json_decref(parsed);
    return err;
}
