/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/config.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/nearest.h"

#define MOST_LAYERS 1024
#define ALL ((1u << MR_FAMILIES) - 1)
#define MICRO (1u << MR_MICRORWKV)
#define OURS (1u << MR_MICRORWKV | 1u << MR_NANORWKV | 1u << MR_GPT2) /* learned positions, tied head */
#define HEADS_BY_SIZE (1u << MR_RWKV5 | 1u << MR_RWKV6 | 1u << MR_RWKV7)

static const char *const family_names[] = {"microrwkv", "nanorwkv", "gpt2", "rwkv4", "rwkv5", "rwkv6", "rwkv7", NULL};
static const char *const modes[] = {"causal", "reference", NULL};
static const char *const position_kinds[] = {"learned", "none", NULL};
static const char *const norm_kinds[] = {"none", "rms", NULL};
static const char *const moe_kinds[] = {"dense", "topk", NULL};
static const char *const aux_kinds[] = {"none", "diversity", "balance", NULL};
static const char *const gelu_kinds[] = {"erf", "tanh", NULL};

static const struct key {
    const char *name;
    enum { INT, REAL, BOOL, CHOICE } kind;
    size_t offset;
    unsigned families; /* which show it */
    const char *const *choices;
} keys[] = {
    {"family", CHOICE, offsetof(struct mr_config, family), 0, family_names},
    {"n_layer", INT, offsetof(struct mr_config, n_layer), ALL, NULL},
    {"n_head", INT, offsetof(struct mr_config, n_head), OURS, NULL},
    {"n_embd", INT, offsetof(struct mr_config, n_embd), ALL, NULL},
    {"block_size", INT, offsetof(struct mr_config, block_size), ALL, NULL},
    {"vocab_size", INT, offsetof(struct mr_config, vocab_size), ALL, NULL},
    {"bias", BOOL, offsetof(struct mr_config, bias), OURS, NULL},
    {"dropout", REAL, offsetof(struct mr_config, dropout), OURS, NULL},
    {"mode", CHOICE, offsetof(struct mr_config, mode), MICRO, modes},
    {"positions", CHOICE, offsetof(struct mr_config, positions), MICRO, position_kinds},
    {"branch_norm", CHOICE, offsetof(struct mr_config, branch_norm), MICRO, norm_kinds},
    {"moe", CHOICE, offsetof(struct mr_config, moe), MICRO, moe_kinds},
    {"aux", CHOICE, offsetof(struct mr_config, aux), MICRO, aux_kinds},
    {"aux_weight", REAL, offsetof(struct mr_config, aux_weight), MICRO, NULL},
    {"num_experts", INT, offsetof(struct mr_config, num_experts), MICRO, NULL},
    {"num_active_experts", INT, offsetof(struct mr_config, num_active_experts), MICRO, NULL},
    {"expert_dim", INT, offsetof(struct mr_config, expert_dim), MICRO, NULL},
    {"expert_capacity_scale", REAL, offsetof(struct mr_config, expert_capacity_scale), MICRO, NULL},
    {"window", INT, offsetof(struct mr_config, window), MICRO, NULL},
    {"groups", INT, offsetof(struct mr_config, groups), MICRO, NULL},
    {"gelu", CHOICE, offsetof(struct mr_config, gelu), 1u << MR_GPT2, gelu_kinds},
    {"head_size", INT, offsetof(struct mr_config, head_size), HEADS_BY_SIZE, NULL},
    {"ffn_dim", INT, offsetof(struct mr_config, ffn_dim), HEADS_BY_SIZE | 1u << MR_RWKV4, NULL},
    {"lora_mix", INT, offsetof(struct mr_config, lora_dim[0]), 1u << MR_RWKV6, NULL},
    {"lora_decay", INT, offsetof(struct mr_config, lora_dim[1]), 1u << MR_RWKV6, NULL},
    {"lora_w", INT, offsetof(struct mr_config, lora_dim[0]), 1u << MR_RWKV7, NULL},
    {"lora_a", INT, offsetof(struct mr_config, lora_dim[1]), 1u << MR_RWKV7, NULL},
    {"lora_v", INT, offsetof(struct mr_config, lora_dim[2]), 1u << MR_RWKV7, NULL},
    {"lora_g", INT, offsetof(struct mr_config, lora_dim[3]), 1u << MR_RWKV7, NULL},
    {"rwkv51", BOOL, offsetof(struct mr_config, rwkv51), 1u << MR_RWKV5, NULL},
    {"ln_x_eps", REAL, offsetof(struct mr_config, ln_x_eps), HEADS_BY_SIZE, NULL},
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
    };
    if (family == MR_MICRORWKV) {
        cfg->n_layer = cfg->n_head = 8;
        cfg->positions = MR_POSITIONS_NONE;
        cfg->aux = MR_AUX_DIVERSITY;
    }
    if (family == MR_GPT2)
        cfg->bias = true;
    if (family >= MR_RWKV4)
        cfg->positions = MR_POSITIONS_NONE;
}

const char *mr_family_name(int family)
{
    return family >= 0 && family < MR_FAMILIES ? family_names[family] : "unknown";
}

int mr_family_by_name(const char *name)
{
    for (int i = 0; i < MR_FAMILIES; i++)
        if (strcmp(name, family_names[i]) == 0)
            return i;
    return mr_fail(MR_EINVAL,
                   "there is no family '%s': it is one of microrwkv, nanorwkv, gpt2, rwkv4, rwkv5, rwkv6, rwkv7", name);
}

const char *mr_config_key(int i)
{
    return i >= 0 && i < KEYS ? keys[i].name : NULL;
}

static int set_choice(const struct key *k, int *field, const json_t *value)
{
    const char *text = json_string_value(value);
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
    return mr_fail(MR_EINVAL, "%s cannot be '%s': it is one of %s", k->name, text ? text : "(not a text)", known);
}

static int set_key(struct mr_config *cfg, const struct key *k, const json_t *value)
{
    char *field = (char *)cfg + k->offset;
    double number = json_number_value(value);
    switch (k->kind) {
    case INT:
        if (!json_is_number(value) || !(number >= 0 && number <= 1 << 30) || number != (int)number)
            return mr_fail(MR_EINVAL, "%s must be a whole number from 0 to 2^30", k->name);
        *(int *)field = (int)number;
        return 0;
    case REAL:
        if (!json_is_number(value))
            return mr_fail(MR_EINVAL, "%s must be a number", k->name);
        *(double *)field = json_number_value(value);
        return 0;
    case BOOL:
        if (json_is_integer(value))
            *(bool *)field = json_integer_value(value) != 0;
        else if (json_is_boolean(value))
            *(bool *)field = json_is_true(value);
        else
            return mr_fail(MR_EINVAL, "%s must be True or False", k->name);
        return 0;
    case CHOICE:
        return set_choice(k, (int *)field, value);
    }
    return 0;
}

int mr_config_set(struct mr_config *cfg, const char *key, const json_t *value, bool *known)
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
    return mr_fail(MR_EINVAL, "there is no configuration key '%s': did you mean %s?", key,
                   mr_nearest(key, names, KEYS));
}

int mr_config_set_all(struct mr_config *cfg, const json_t *object)
{
    for (int i = 0; i < KEYS; i++) {
        const json_t *value = json_object_get(object, keys[i].name);
        if (value && !json_is_null(value))
            MR_TRY(set_key(cfg, &keys[i], value));
    }
    return 0;
}

json_t *mr_config_json(const struct mr_config *cfg)
{
    json_t *object = json_object();
    struct mr_config full = *cfg; /* with the usual widths where cfg says none */
    full.ffn_dim = mr_ffn_width(cfg);
    for (int i = 0; i < 4; i++)
        full.lora_dim[i] = mr_lora_width(cfg, i);
    for (int i = 0; object && i < KEYS; i++) {
        const struct key *k = &keys[i];
        if (!(k->families >> cfg->family & 1))
            continue;
        const char *field = (const char *)&full + k->offset;
        json_t *value = k->kind == INT    ? json_integer(*(const int *)field)
                        : k->kind == REAL ? json_real(*(const double *)field)
                        : k->kind == BOOL ? json_boolean(*(const bool *)field)
                                          : json_string(k->choices[*(const int *)field]);
        if (json_object_set_new(object, k->name, value)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static int check_micro(const struct mr_config *c)
{
    if (c->num_experts < 1 || c->num_active_experts < 1 || c->num_active_experts > c->num_experts)
        return mr_fail(MR_EINVAL, "num_active_experts %d must lie between 1 and num_experts %d", c->num_active_experts,
                       c->num_experts);
    if (c->num_experts > 64)
        return mr_fail(MR_EINVAL, "num_experts %d is more than the 64 that are supported", c->num_experts);
    if (mr_expert_width(c) < 1)
        return mr_fail(MR_EINVAL, "expert_dim %d * expert_capacity_scale %g gives an expert of no width", c->expert_dim,
                       c->expert_capacity_scale);
    if (c->mode == MR_REFERENCE) {
        if (c->n_embd % (4 * c->n_head))
            return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of 4 * n_head %d, as mode=reference needs",
                           c->n_embd, c->n_head);
        if (c->moe != MR_MOE_DENSE || c->aux != MR_AUX_NONE)
            return mr_fail(MR_EINVAL, "mode=reference goes with moe=dense and aux=none only");
        return 0;
    }
    if (c->window < 1 || c->groups < 1)
        return mr_fail(MR_EINVAL, "window %d and groups %d must be at least 1", c->window, c->groups);
    if (c->n_embd % ((int64_t)c->groups * c->n_head))
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of groups %d * n_head %d", c->n_embd, c->groups,
                       c->n_head);
    if (c->aux != MR_AUX_NONE && (c->aux == MR_AUX_BALANCE) != (c->moe == MR_MOE_TOPK))
        return mr_fail(MR_EINVAL, "aux=diversity goes with moe=dense, aux=balance with moe=topk: set one of them");
    return 0;
}

static int check_rwkv(const struct mr_config *c)
{
    if (c->n_embd > 1 << 18)
        return mr_fail(MR_EINVAL, "n_embd %d is more than 2^18", c->n_embd);
    if (c->family >= MR_RWKV5 && (c->head_size < 1 || c->n_embd % c->head_size))
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of head_size %d", c->n_embd, c->head_size);
    if (c->family >= MR_RWKV5 && !(c->ln_x_eps > 0))
        return mr_fail(MR_EINVAL, "ln_x_eps %g must be more than 0", c->ln_x_eps);
    if (mr_ffn_width(c) > 1 << 20)
        return mr_fail(MR_EINVAL, "ffn_dim %d is more than 2^20", mr_ffn_width(c));
    for (int i = 0; i < 4; i++)
        if (mr_lora_width(c, i) > 1 << 16)
            return mr_fail(MR_EINVAL, "a low-rank pair of width %d is more than 2^16", mr_lora_width(c, i));
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
    if (c->family >= MR_RWKV4)
        return check_rwkv(c);
    if (c->n_embd % c->n_head)
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of n_head %d", c->n_embd, c->n_head);
    if (!(c->dropout >= 0 && c->dropout < 1))
        return mr_fail(MR_EINVAL, "dropout %g must lie in [0, 1)", c->dropout);
    return c->family == MR_MICRORWKV ? check_micro(c) : 0;
}

int mr_head_count(const struct mr_config *cfg)
{
    return cfg->family >= MR_RWKV5 ? cfg->n_embd / cfg->head_size : cfg->n_head;
}

int mr_ffn_width(const struct mr_config *cfg)
{
    if (cfg->ffn_dim)
        return cfg->ffn_dim;
    if (cfg->family != MR_RWKV5 && cfg->family != MR_RWKV6)
        return 4 * cfg->n_embd;
    int width = (int)(3.5 * cfg->n_embd); /* of a gated channel mix, in whole 32s */
    return width < 32 ? width : width / 32 * 32;
}

int mr_lora_width(const struct mr_config *cfg, int i)
{
    static const double factors[4] = {2.5, 2.5, 1.7, 5}; /* w, a, v, g: times the root of the width, in whole 32s */
    if (cfg->lora_dim[i])
        return cfg->lora_dim[i];
    if (cfg->family == MR_RWKV6)
        return (cfg->n_embd < 4096 ? 32 : 64) << (i == 1);
    if (cfg->family != MR_RWKV7 || i > 3)
        return 0;
    return 32 * (int)fmax(1, round(factors[i] * sqrt(cfg->n_embd) / 32));
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
