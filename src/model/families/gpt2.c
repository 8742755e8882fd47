/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-2: full causal attention and an MLP behind layer norms, learned positions, a tied head. */
#include "model/families/families.h"

static const struct mr_branch blocks[] = {
    {.chain = {{&mr_layer_layer_norm, "ln_1"}, {&mr_layer_gpt2_attention, "attn"}}},
    {.chain = {{&mr_layer_layer_norm, "ln_2"}, {&mr_layer_gpt2_mlp, "mlp"}}},
    {.chain = {{NULL, NULL}}},
};

static const struct mr_branch *block(const struct mr_config *cfg)
{
    (void)cfg;
    return blocks;
}

const struct mr_family mr_family_gpt2 = {
    .block = block,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .final_norm = "transformer.ln_f.",
};
