/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/layout.h"
#include "formats/fla.h"
#include "formats/gguf.h"
#include "model/layer.h"

#include <stdio.h>
#include <string.h>

static const struct mr_name_rule own[] = {{"*", "*", 0, 0, 0}, {0}};

static const struct mr_name_rule bare[] = {
    {"transformer.*", "*", 0, 0, 0}, {"model.*", "*", 0, 0, 0}, {"lm_head.*", "lm_head.*", 0, 0, 0}, {0}};

#define CONV1D(at)                                                                                  \
    {"transformer.h.%d.attn.c_attn.weight", at "h.%d.attn.c_attn.weight", MR_TRANSPOSED, 0, 0},     \
        {"transformer.h.%d.attn.c_proj.weight", at "h.%d.attn.c_proj.weight", MR_TRANSPOSED, 0, 0}, \
        {"transformer.h.%d.mlp.c_fc.weight", at "h.%d.mlp.c_fc.weight", MR_TRANSPOSED, 0, 0},       \
        {"transformer.h.%d.mlp.c_proj.weight", at "h.%d.mlp.c_proj.weight", MR_TRANSPOSED, 0, 0},   \
        {"transformer.*", at "*", 0, 0, 0}, {"lm_head.*", "lm_head.*", 0, 0, 0}, {0},

static const struct mr_name_rule hf_gpt2[] = {CONV1D("transformer.")};
static const struct mr_name_rule released_gpt2[] = {CONV1D("")};

#define ATT "blocks.%d.att."
#define FFN "blocks.%d.ffn."
#define HF_ATT "rwkv.blocks.%d.attention."
#define HF_FFN "rwkv.blocks.%d.feed_forward."

static const struct mr_name_rule hf_rwkv[] = {
    {"emb.*", "rwkv.embeddings.*", 0, 0, 0},
    {"blocks.%d.ln0.*", "rwkv.blocks.%d.pre_ln.*", 0, 0, 0},
    {ATT "time_mix_k", HF_ATT "time_mix_key", 0, 0, 0},
    {ATT "time_mix_v", HF_ATT "time_mix_value", 0, 0, 0},
    {ATT "time_mix_r", HF_ATT "time_mix_receptance", 0, 0, 0},
    {ATT "time_mix_g", HF_ATT "time_mix_gate", 0, 0, 0},
    {FFN "time_mix_k", HF_FFN "time_mix_key", 0, 0, 0},
    {FFN "time_mix_r", HF_FFN "time_mix_receptance", 0, 0, 0},
    {ATT "*", HF_ATT "*", 0, 0, 0},
    {FFN "*", HF_FFN "*", 0, 0, 0},
    {"blocks.%d.*", "rwkv.blocks.%d.*", 0, 0, 0},
    {"ln_out.*", "rwkv.ln_out.*", 0, 0, 0},
    {"head.*", "head.*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule bin4[] = {
    {ATT "time_decay", ATT "time_decay", MR_NEGATIVE_EXP, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

/* 5.2 has no time_first, its time_faaaa is stored as it is. */
static const struct mr_name_rule bin5[] = {
    {ATT "time_decay", ATT "time_decay", MR_EXP_NEGATIVE_EXP, 0, 0},
    {ATT "time_first", ATT "time_first", MR_EXP, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule bin6[] = {
    {ATT "time_maa_w1", ATT "time_maa_w1", MR_TRANSPOSED, 0, 0},
    {ATT "time_maa_w2", ATT "time_maa_w2", MR_TRANSPOSED, 0, 0},
    {ATT "time_decay_w1", ATT "time_decay_w1", MR_TRANSPOSED, 0, 0},
    {ATT "time_decay_w2", ATT "time_decay_w2", MR_TRANSPOSED, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule bin7[] = {
    {ATT "x_r", ATT "x_rwkvag", MR_JOINED, 0, 6},
    {ATT "x_w", ATT "x_rwkvag", MR_JOINED, 1, 6},
    {ATT "x_k", ATT "x_rwkvag", MR_JOINED, 2, 6},
    {ATT "x_v", ATT "x_rwkvag", MR_JOINED, 3, 6},
    {ATT "x_a", ATT "x_rwkvag", MR_JOINED, 4, 6},
    {ATT "x_g", ATT "x_rwkvag", MR_JOINED, 5, 6},
    {ATT "w1", ATT "w1", MR_TRANSPOSED, 0, 0},
    {ATT "w2", ATT "w2", MR_TRANSPOSED, 0, 0},
    {ATT "a1", ATT "a1", MR_TRANSPOSED, 0, 0},
    {ATT "a2", ATT "a2", MR_TRANSPOSED, 0, 0},
    {ATT "v1", ATT "v1", MR_TRANSPOSED, 0, 0},
    {ATT "v2", ATT "v2", MR_TRANSPOSED, 0, 0},
    {ATT "g1", ATT "g1", MR_TRANSPOSED, 0, 0},
    {ATT "g2", ATT "g2", MR_TRANSPOSED, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule st5[] = {
    {ATT "time_faaaa", ATT "time_first", 0, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule st6[] = {
    {ATT "time_maa_w1", ATT "time_mix_w1", MR_TRANSPOSED, 0, 0},
    {ATT "time_maa_w2", ATT "time_mix_w2", MR_TRANSPOSED, 0, 0},
    {ATT "time_decay_w1", ATT "time_decay_w1", MR_TRANSPOSED, 0, 0},
    {ATT "time_decay_w2", ATT "time_decay_w2", MR_TRANSPOSED, 0, 0},
    {ATT "time_maa_*", ATT "time_mix_*", 0, 0, 0},
    {FFN "time_maa_*", FFN "time_mix_*", 0, 0, 0},
    {ATT "time_faaaa", ATT "time_first", 0, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule st7[] = {
    {ATT "w1", ATT "w1", MR_TRANSPOSED, 0, 0},
    {ATT "w2", ATT "w2", MR_TRANSPOSED, 0, 0},
    {ATT "a1", ATT "a1", MR_TRANSPOSED, 0, 0},
    {ATT "a2", ATT "a2", MR_TRANSPOSED, 0, 0},
    {ATT "v1", ATT "v1", MR_TRANSPOSED, 0, 0},
    {ATT "v2", ATT "v2", MR_TRANSPOSED, 0, 0},
    {ATT "g1", ATT "g1", MR_TRANSPOSED, 0, 0},
    {ATT "g2", ATT "g2", MR_TRANSPOSED, 0, 0},
    {"*", "*", 0, 0, 0},
    {0},
};

static const struct mr_name_rule *st_rules(const struct mr_config *cfg)
{
    switch (mr_family(cfg)->rwkv) {
    case 5:
        return cfg->rwkv51 ? own : st5;
    case 6:
        return st6;
    case 7:
        return st7;
    default:
        return own;
    }
}

static const struct mr_name_rule *bin_rules(const struct mr_config *cfg)
{
    switch (mr_family(cfg)->rwkv) {
    case 4:
        return bin4;
    case 5:
        return bin5;
    case 6:
        return bin6;
    case 7:
        return bin7;
    default:
        return own;
    }
}

const struct mr_name_rule *mr_layout_rules(int layout, const struct mr_config *cfg)
{
    switch (layout) {
    case MR_LAYOUT_HF_RWKV:
        return hf_rwkv;
    case MR_LAYOUT_HF_GPT2:
        return hf_gpt2;
    case MR_LAYOUT_GPT2:
        return released_gpt2;
    case MR_LAYOUT_BARE:
        return bare;
    case MR_LAYOUT_BIN:
        return bin_rules(cfg);
    case MR_LAYOUT_ST:
        return st_rules(cfg);
    case MR_LAYOUT_FLA:
        return mr_fla_rules;
    case MR_LAYOUT_GGUF:
        return mr_gguf_rules(cfg) ? mr_gguf_rules(cfg) : own;
    default:
        return own;
    }
}

/* Whether the name is of the pattern's form; *number is the block, *rest what the star stands for. */
static bool matches(const char *pattern, const char *name, int *number, const char **rest)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            *rest = name;
            return true;
        }
        if (*pattern == '%') {
            const char *start = name;
            for (*number = 0; *name >= '0' && *name <= '9' && *number < 1 << 20; name++)
                *number = 10 * *number + (*name - '0');
            if (name == start)
                return false;
            pattern++;
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return !*name;
}

static void expand(const char *pattern, int number, const char *rest, char *out, size_t size)
{
    size_t n = 0;
    for (; *pattern && n + 1 < size; pattern++) {
        if (*pattern == '%')
            n += (size_t)snprintf(out + n, size - n, "%d", number), pattern++;
        else if (*pattern == '*')
            n += (size_t)snprintf(out + n, size - n, "%s", rest);
        else
            out[n++] = *pattern;
    }
    out[n < size ? n : size - 1] = 0;
}

bool mr_layout_place(const struct mr_name_rule *rules, const char *ours, int nth, struct mr_place *place)
{
    for (const struct mr_name_rule *r = rules; r->ours; r++) {
        int number = 0;
        const char *rest = "";
        if (!matches(r->ours, ours, &number, &rest) || nth--)
            continue;
        expand(r->theirs, number, rest, place->name, sizeof place->name);
        place->change = r->change;
        place->part = r->part;
        place->parts = r->parts;
        return true;
    }
    return false;
}
