/* SPDX-License-Identifier: GPL-3.0-or-later
 * nanoRWKV: time mix x051a and channel mix behind layer norms, learned positions, a tied head. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln_1"}, {&mr_layer_time_mix_x051a, "tmix"}}},
    {.chain = {{&mr_layer_layer_norm, "ln_2"}, {&mr_layer_channel_mix, "cmix"}}},
    {.chain = {{NULL, NULL}}},
};

const struct mr_family mr_family_nanorwkv = {
    .name = "nanorwkv",
    .keys = MR_KEYS_NANO | MR_KEYS_DROPOUT,
    .branches = branches,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .final_norm = "transformer.ln_f.",
};
