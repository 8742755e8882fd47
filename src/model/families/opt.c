/* SPDX-License-Identifier: GPL-3.0-or-later
 * OPT: as GPT-2, with ReLU and learned positions that begin in the third row of their table. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "self_attn_layer_norm"}, {&mr_layer_block_attention, "self_attn"}}},
    {.chain = {{&mr_layer_layer_norm, "final_layer_norm"}, {&mr_layer_mlp, ""}}},
    {.chain = {{NULL, NULL}}},
};

static void defaults(struct mr_config *cfg)
{
    cfg->bias = cfg->tied = true;
    cfg->gelu = MR_GELU_RELU;
    cfg->vocab_size = 50272;
    cfg->block_size = 2048;
}

const struct mr_family mr_family_opt = {
    .name = "opt",
    .keys = MR_KEYS_NANO | MR_KEYS_GELU | MR_KEYS_FFN | MR_KEYS_DROPOUT,
    .branches = branches,
    .block_prefix = "model.decoder.layers.%d.",
    .embedding = "model.decoder.embed_tokens.weight",
    .positions = "model.decoder.embed_positions.weight",
    .first_place = 2,
    .head = "lm_head.weight",
    .parts = {.in = {"q_proj", "k_proj", "v_proj"}, .out = "out_proj", .wide = "fc1", .narrow = "fc2"},
    .final_norm = "model.decoder.final_layer_norm.",
    .whole_block = true,
    .defaults = defaults,
    .check = mr_transformer_check,
};
