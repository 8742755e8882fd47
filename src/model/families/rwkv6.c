/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-6: a matrix-valued state whose decay and token shift depend on the data. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv6_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

/* mixing, decay */
static int lora_width(const struct mr_config *cfg, int i)
{
    return i > 1 ? 0 : (cfg->n_embd < 4096 ? 32 : 64) << i;
}

const struct mr_family mr_family_rwkv6 = {.name = "rwkv6",
                                          .branches = branches,
                                          .rwkv = 6,
                                          .keys = MR_KEYS_FFN | MR_KEYS_HEAD_SIZE | MR_KEYS_RWKV6 | MR_KEYS_DROPOUT,
                                          MR_RWKV_NAMES,
                                          .heads_by_size = true,
                                          .ffn_width = mr_rwkv_ffn_width,
                                          .lora_width = lora_width,
                                          .embedding_range = 1e-4,
                                          .head_gain = 0.5,
                                          .training = {.beta2 = 0.99, .l2wrap = 1e-4}};
