/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-Neo: as GPT-2, but every other block attends to the last `window` positions only, and scores are not scaled. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln_1"}, {&mr_layer_block_attention, "attn.attention"}}},
    {.chain = {{&mr_layer_layer_norm, "ln_2"}, {&mr_layer_mlp, "mlp"}}},
    {.chain = {{NULL, NULL}}},
};

static int window(const struct mr_config *cfg, int block)
{
    return block % 2 && cfg->window < cfg->block_size ? cfg->window : cfg->block_size;
}

static void defaults(struct mr_config *cfg)
{
    cfg->bias = cfg->tied = true;
    cfg->gelu = MR_GELU_TANH;
    cfg->attention_scale = MR_SCALE_NONE;
    cfg->vocab_size = 50257;
    cfg->block_size = 2048;
}

static int check(const struct mr_config *cfg)
{
    if (cfg->window < 1)
        return mr_fail(MR_EINVAL, "window %d must be at least 1", cfg->window);
    return mr_transformer_check(cfg);
}

const struct mr_family mr_family_gptneo = {
    .name = "gptneo",
    .keys = MR_KEYS_NANO | MR_KEYS_GELU | MR_KEYS_FFN | MR_KEYS_WINDOW | MR_KEYS_DROPOUT,
    .branches = branches,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .head = "lm_head.weight",
    .parts =
        {.in = {"q_proj", "k_proj", "v_proj"}, .out = "out_proj", .wide = "c_fc", .narrow = "c_proj", .bare = true},
    .final_norm = "transformer.ln_f.",
    .whole_block = true,
    .window = window,
    .defaults = defaults,
    .check = check,
};
