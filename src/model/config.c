/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/config.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/nearest.h"
#include "model/layer.h"

#define MOST_LAYERS 1024
static const char *const modes[] = {"causal", "reference", NULL};
static const char *const position_kinds[] = {"learned", "none", NULL};
static const char *const norm_kinds[] = {"none", "rms", NULL};
static const char *const moe_kinds[] = {"dense", "topk", NULL};
static const char *const aux_kinds[] = {"none", "diversity", "balance", NULL};
static const char *const gelu_kinds[] = {"erf", "tanh", "relu", "quick", NULL};
static const char *const scale_kinds[] = {"root", "layer", "none", NULL};

static const struct key {
    const char *name;
    enum { INT, REAL, BOOL, CHOICE, FAMILY } kind;
    size_t offset;
    unsigned group; /* of enum mr_keys; 0: every family has it */
    const char *const *choices;
    const char *meaning;
} keys[] = {
    {"family", FAMILY, offsetof(struct mr_config, family), ~0u, NULL, "microrwkv, nanorwkv, gpt2, rwkv7, …"},
    {"n_layer", INT, offsetof(struct mr_config, n_layer), 0, NULL, "layers"},
    {"n_head", INT, offsetof(struct mr_config, n_head), MR_KEYS_NANO, NULL, "heads of attention and recurrence"},
    {"n_embd", INT, offsetof(struct mr_config, n_embd), 0, NULL, "width, a multiple of n_head"},
    {"block_size", INT, offsetof(struct mr_config, block_size), 0, NULL, "longest context the model is trained for"},
    {"vocab_size", INT, offsetof(struct mr_config, vocab_size), 0, NULL, "number of tokens (default: the data set's)"},
    {"bias", BOOL, offsetof(struct mr_config, bias), MR_KEYS_NANO, NULL, "use biases in linear layers and norms"},
    {"dropout", REAL, offsetof(struct mr_config, dropout), MR_KEYS_DROPOUT, NULL, "dropout probability in training"},
    {"mode", CHOICE, offsetof(struct mr_config, mode), MR_KEYS_MICRO, modes,
     "microrwkv: causal, or reference (the published code)"},
    {"positions", CHOICE, offsetof(struct mr_config, positions), MR_KEYS_MICRO, position_kinds,
     "microrwkv: learned or none"},
    {"branch_norm", CHOICE, offsetof(struct mr_config, branch_norm), MR_KEYS_MICRO, norm_kinds,
     "microrwkv: none, or rms on every branch"},
    {"moe", CHOICE, offsetof(struct mr_config, moe), MR_KEYS_MICRO, moe_kinds, "microrwkv: dense or topk experts"},
    {"aux", CHOICE, offsetof(struct mr_config, aux), MR_KEYS_MICRO, aux_kinds,
     "microrwkv: none, diversity (dense) or balance (topk)"},
    {"aux_weight", REAL, offsetof(struct mr_config, aux_weight), MR_KEYS_MICRO, NULL,
     "microrwkv: weight of the auxiliary loss"},
    {"num_experts", INT, offsetof(struct mr_config, num_experts), MR_KEYS_MICRO, NULL, "microrwkv: experts per layer"},
    {"num_active_experts", INT, offsetof(struct mr_config, num_active_experts), MR_KEYS_MICRO, NULL,
     "microrwkv: experts used per token"},
    {"expert_dim", INT, offsetof(struct mr_config, expert_dim), MR_KEYS_MICRO, NULL,
     "microrwkv: hidden width of an expert, before scaling"},
    {"expert_capacity_scale", REAL, offsetof(struct mr_config, expert_capacity_scale), MR_KEYS_MICRO, NULL,
     "microrwkv: factor on expert_dim"},
    {"window", INT, offsetof(struct mr_config, window), MR_KEYS_WINDOW, NULL,
     "microrwkv, gptneo: tokens each position attends to"},
    {"groups", INT, offsetof(struct mr_config, groups), MR_KEYS_MICRO, NULL,
     "microrwkv: groups in the grouped attention"},
    {"gelu", CHOICE, offsetof(struct mr_config, gelu), MR_KEYS_GELU, gelu_kinds,
     "gpt2, opt, gptneo, gptneox: GELU by erf, tanh or quick, or relu"},
    {"ln_eps", REAL, offsetof(struct mr_config, ln_eps), MR_KEYS_GELU, NULL,
     "gpt2, opt, gptneo, gptneox: epsilon of the layer norms"},
    {"tied", BOOL, offsetof(struct mr_config, tied), MR_KEYS_GELU, NULL,
     "gpt2, opt, gptneo, gptneox: the head is the embedding"},
    {"attention_scale", CHOICE, offsetof(struct mr_config, attention_scale), MR_KEYS_GPT2, scale_kinds,
     "gpt2: scores are divided by the root of the head's width, also by the layer's number, or by none"},
    {"rotary_pct", REAL, offsetof(struct mr_config, rotary_pct), MR_KEYS_ROTARY, NULL,
     "gptneox: share of a head that turns with the position"},
    {"rotary_base", REAL, offsetof(struct mr_config, rotary_base), MR_KEYS_ROTARY, NULL, "gptneox: base of the angles"},
    {"parallel", BOOL, offsetof(struct mr_config, parallel), MR_KEYS_ROTARY, NULL,
     "gptneox: attention and MLP read the same"},
    {"head_size", INT, offsetof(struct mr_config, head_size), MR_KEYS_HEAD_SIZE, NULL, "rwkv5, 6, 7: width of a head"},
    {"ffn_dim", INT, offsetof(struct mr_config, ffn_dim), MR_KEYS_FFN, NULL,
     "width of the channel mix or the MLP (0: the family's default)"},
    {"lora_mix", INT, offsetof(struct mr_config, lora_dim[0]), MR_KEYS_RWKV6, NULL,
     "rwkv6: low-rank width of the mixing (0: default)"},
    {"lora_decay", INT, offsetof(struct mr_config, lora_dim[1]), MR_KEYS_RWKV6, NULL,
     "rwkv6: low-rank width of the decay (0: default)"},
    {"lora_w", INT, offsetof(struct mr_config, lora_dim[0]), MR_KEYS_RWKV7, NULL,
     "rwkv7: low-rank width of the decay (0: default)"},
    {"lora_a", INT, offsetof(struct mr_config, lora_dim[1]), MR_KEYS_RWKV7, NULL,
     "rwkv7: low-rank width of a (0: default)"},
    {"lora_v", INT, offsetof(struct mr_config, lora_dim[2]), MR_KEYS_RWKV7, NULL,
     "rwkv7: low-rank width of v (0: default)"},
    {"lora_g", INT, offsetof(struct mr_config, lora_dim[3]), MR_KEYS_RWKV7, NULL,
     "rwkv7: low-rank width of the gate (0: default)"},
    {"rwkv51", BOOL, offsetof(struct mr_config, rwkv51), MR_KEYS_RWKV5, NULL,
     "rwkv5: version 5.1, one decay per head and no gate"},
    {"ln_x_eps", REAL, offsetof(struct mr_config, ln_x_eps), MR_KEYS_HEAD_SIZE, NULL,
     "rwkv5, 6, 7: epsilon of the group norm"},
};
#define KEYS ((int)(sizeof keys / sizeof keys[0]))

void mr_config_defaults(struct mr_config *cfg, int family)
{
    *cfg = (struct mr_config){
        .family = family,
        .n_layer = 12,
        .n_head = 12,
        .n_embd = 768,
        .block_size = 1024,
        .vocab_size = 50304,
        .mode = MR_CAUSAL,
        .positions = MR_POSITIONS_LEARNED,
        .branch_norm = MR_BRANCH_NORM_NONE,
        .moe = MR_MOE_DENSE,
        .aux = MR_AUX_NONE,
        .aux_weight = 0.01,
        .num_experts = 4,
        .num_active_experts = 4,
        .expert_dim = 512,
        .expert_capacity_scale = 1.2,
        .window = 256,
        .groups = 4,
        .head_size = 64,
        .ln_x_eps = 64e-5,
        .ln_eps = 1e-5,
    };
    if (mr_family(cfg)->defaults)
        mr_family(cfg)->defaults(cfg);
}

const char *mr_config_key(int i)
{
    return i >= 0 && i < KEYS ? keys[i].name : NULL;
}

static int value_of(const struct key *k, const struct mr_config *cfg, struct mr_value *value)
{
    const char *field = (const char *)cfg + k->offset, *text = NULL;
    switch (k->kind) {
    case INT:
        *value = (struct mr_value){.kind = MR_VALUE_INT, .integer = *(const int *)field};
        return 0;
    case REAL:
        *value = (struct mr_value){.kind = MR_VALUE_REAL, .real = *(const double *)field};
        return 0;
    case BOOL:
        *value = (struct mr_value){.kind = MR_VALUE_BOOL, .yes = *(const bool *)field};
        return 0;
    case CHOICE:
        text = k->choices[*(const int *)field];
        break;
    case FAMILY:
        text = mr_family_name(*(const int *)field);
        break;
    }
    return mr_value_text(value, text, strlen(text));
}

const char *mr_config_meaning(int i, struct mr_value *value)
{
    struct mr_config cfg;
    int family = 0;
    if (i < 0 || i >= KEYS)
        return NULL;
    mr_config_defaults(&cfg, family);
    while (keys[i].kind != FAMILY && keys[i].group & ~mr_family(&cfg)->keys)
        mr_config_defaults(&cfg, ++family);
    *value = (struct mr_value){0};
    value_of(&keys[i], &cfg, value);
    return keys[i].meaning;
}

static int set_choice(const struct key *k, int *field, const struct mr_value *value)
{
    const char *text = value->kind == MR_VALUE_TEXT ? value->text : NULL;
    for (int i = 0; text && k->choices[i]; i++) {
        if (strcmp(text, k->choices[i]) == 0) {
            *field = i;
            return 0;
        }
    }
    char known[160] = "";
    for (int i = 0; k->choices[i]; i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, k->choices[i], sizeof known - strlen(known) - 1);
    }
    return mr_fail(MR_EINVAL, "%s cannot be '%s': it must be one of %s", k->name, text ? text : "(not a text)", known);
}

static int set_family(int *field, const struct mr_value *value)
{
    int family = mr_family_by_name(value->kind == MR_VALUE_TEXT ? value->text : "(not a text)");
    if (family < 0)
        return family;
    *field = family;
    return 0;
}

static int set_key(struct mr_config *cfg, const struct key *k, const struct mr_value *value)
{
    char *field = (char *)cfg + k->offset;
    double number = mr_value_number(value);
    switch (k->kind) {
    case INT:
        if (!mr_value_is_number(value) || !(number >= 0 && number <= 1 << 30) || number != (int)number)
            return mr_fail(MR_EINVAL, "%s must be a whole number from 0 to 2^30", k->name);
        *(int *)field = (int)number;
        return 0;
    case REAL:
        if (!mr_value_is_number(value))
            return mr_fail(MR_EINVAL, "%s must be a number", k->name);
        if (number < 0)
            return mr_fail(MR_EINVAL, "%s is %g: it must be at least 0", k->name, number);
        *(double *)field = number;
        return 0;
    case BOOL:
        if (value->kind != MR_VALUE_INT && value->kind != MR_VALUE_BOOL)
            return mr_fail(MR_EINVAL, "%s must be True or False", k->name);
        *(bool *)field = value->kind == MR_VALUE_INT ? value->integer != 0 : value->yes;
        return 0;
    case CHOICE:
        return set_choice(k, (int *)field, value);
    case FAMILY:
        return set_family((int *)field, value);
    }
    return 0;
}

int mr_config_set(struct mr_config *cfg, const char *key, const struct mr_value *value, bool *known)
{
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(key, keys[i].name) == 0) {
            if (known)
                *known = true;
            return set_key(cfg, &keys[i], value);
        }
    }
    if (known) {
        *known = false;
        return 0;
    }
    const char *names[KEYS];
    for (int i = 0; i < KEYS; i++)
        names[i] = keys[i].name;
    return mr_fail(MR_EINVAL, "unknown configuration key '%s': did you mean %s?", key, mr_nearest(key, names, KEYS));
}

int mr_config_set_all(struct mr_config *cfg, const struct mr_settings *settings)
{
    for (int i = 0; i < KEYS; i++) {
        const struct mr_value *value = mr_settings_find(settings, keys[i].name);
        if (value && value->kind != MR_VALUE_NONE)
            MR_TRY(set_key(cfg, &keys[i], value));
    }
    return 0;
}

int mr_config_settings(const struct mr_config *cfg, struct mr_settings *settings)
{
    struct mr_config full = *cfg; /* with the usual widths where cfg says none */
    full.ffn_dim = mr_ffn_width(cfg);
    for (int i = 0; i < 4; i++)
        full.lora_dim[i] = mr_lora_width(cfg, i);
    for (int i = 0; i < KEYS; i++) {
        const struct key *k = &keys[i];
        struct mr_value value;
        if (k->group & ~mr_family(cfg)->keys)
            continue;
        MR_TRY(value_of(k, &full, &value));
        int err = mr_settings_set(settings, k->name, &value);
        mr_value_free(&value);
        MR_TRY(err);
    }
    return 0;
}

int mr_config_check(const struct mr_config *c)
{
    const struct {
        const char *name;
        int value;
    } sizes[] = {{"n_layer", c->n_layer},
                 {"n_embd", c->n_embd},
                 {"block_size", c->block_size},
                 {"vocab_size", c->vocab_size},
                 {"n_head", c->n_head}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < 1)
            return mr_fail(MR_EINVAL, "%s is %d: it must be at least 1", sizes[i].name, sizes[i].value);
    if (c->n_layer > MOST_LAYERS)
        return mr_fail(MR_EINVAL, "n_layer %d is more than the %d that are supported", c->n_layer, MOST_LAYERS);
    if (mr_family(c)->keys & MR_KEYS_NANO && c->n_embd % c->n_head)
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of n_head %d", c->n_embd, c->n_head);
    if (!(c->dropout >= 0 && c->dropout < 1))
        return mr_fail(MR_EINVAL, "dropout %g must be in [0, 1)", c->dropout);
    return mr_family(c)->check ? mr_family(c)->check(c) : 0;
}

int mr_head_count(const struct mr_config *cfg)
{
    return mr_family(cfg)->heads_by_size ? cfg->n_embd / cfg->head_size : cfg->n_head;
}

int mr_ffn_width(const struct mr_config *cfg)
{
    if (cfg->ffn_dim)
        return cfg->ffn_dim;
    return mr_family(cfg)->ffn_width ? mr_family(cfg)->ffn_width(cfg) : 4 * cfg->n_embd;
}

int mr_lora_width(const struct mr_config *cfg, int i)
{
    if (cfg->lora_dim[i])
        return cfg->lora_dim[i];
    return mr_family(cfg)->lora_width ? mr_family(cfg)->lora_width(cfg, i) : 0;
}

int mr_turned(const struct mr_config *cfg)
{
    int width = cfg->n_embd / cfg->n_head;
    double turned = width * cfg->rotary_pct;
    return turned < 1 << 18 ? (int)turned : 1 << 18;
}

int mr_expert_width(const struct mr_config *cfg)
{
    double width = cfg->expert_dim * cfg->expert_capacity_scale;
    return width >= 1 && width < 1 << 24 ? (int)width : 0;
}

int mr_expert_count(const struct mr_config *cfg)
{
    return cfg->moe == MR_MOE_TOPK ? cfg->num_experts : cfg->num_active_experts;
}
