/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-2: full causal attention and an MLP behind layer norms, learned positions, a tied head. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln_1"}, {&mr_layer_block_attention, "attn"}}},
    {.chain = {{&mr_layer_layer_norm, "ln_2"}, {&mr_layer_mlp, "mlp"}}},
    {.chain = {{NULL, NULL}}},
};

static void defaults(struct mr_config *cfg)
{
    cfg->bias = cfg->tied = true;
}

const struct mr_family mr_family_gpt2 = {
    .name = "gpt2",
    .keys = MR_KEYS_NANO | MR_KEYS_GELU | MR_KEYS_FFN | MR_KEYS_GPT2 | MR_KEYS_DROPOUT,
    .branches = branches,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .head = "lm_head.weight",
    .parts = {.in = {"c_attn"}, .out = "c_proj", .wide = "c_fc", .narrow = "c_proj"},
    .final_norm = "transformer.ln_f.",
    .whole_block = true,
    .defaults = defaults,
    .check = mr_transformer_check,
};
