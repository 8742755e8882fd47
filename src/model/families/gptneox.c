/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-NeoX and Pythia: rotary positions, attention and MLP beside each other, a head of its own. */
#include "model/families/families.h"

#define ATTENTION                                                                                        \
    {                                                                                                    \
        .chain = { {&mr_layer_layer_norm, "input_layernorm"}, {&mr_layer_block_attention, "attention"} } \
    }
#define MLP .chain = {{&mr_layer_layer_norm, "post_attention_layernorm"}, {&mr_layer_mlp, "mlp"}}

static const struct mr_branch parallel[] = {ATTENTION, {MLP, .beside = true}, {.chain = {{NULL, NULL}}}};
static const struct mr_branch sequential[] = {ATTENTION, {MLP}, {.chain = {{NULL, NULL}}}};

static const struct mr_branch *choose(const struct mr_config *cfg)
{
    return cfg->parallel ? parallel : sequential;
}

static void defaults(struct mr_config *cfg)
{
    cfg->bias = cfg->parallel = true;
    cfg->rotary_pct = 0.25;
    cfg->rotary_base = 10000;
    cfg->block_size = 2048;
}

static int check(const struct mr_config *cfg)
{
    int turned = mr_turned(cfg), width = cfg->n_embd / cfg->n_head;
    if (turned < 2 || turned % 2 || turned > width)
        return mr_fail(MR_EINVAL, "rotary_pct %g turns %d of a head's %d numbers: it must be an even number of them",
                       cfg->rotary_pct, turned, width);
    if (!(cfg->rotary_base > 1))
        return mr_fail(MR_EINVAL, "rotary_base %g must be more than 1", cfg->rotary_base);
    return mr_transformer_check(cfg);
}

const struct mr_family mr_family_gptneox = {
    .name = "gptneox",
    .keys = MR_KEYS_NANO | MR_KEYS_GELU | MR_KEYS_FFN | MR_KEYS_ROTARY | MR_KEYS_DROPOUT,
    .choose = choose,
    .block_prefix = "gpt_neox.layers.%d.",
    .embedding = "gpt_neox.embed_in.weight",
    .head = "embed_out.weight",
    .parts = {.in = {"query_key_value"}, .out = "dense", .wide = "dense_h_to_4h", .narrow = "dense_4h_to_h"},
    .final_norm = "gpt_neox.final_layer_norm.",
    .whole_block = true,
    .rotary = true,
    .defaults = defaults,
    .check = check,
};
