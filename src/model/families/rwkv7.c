/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-7: a matrix-valued state that a delta rule rewrites. */
#include <math.h>

#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv7_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

/* w, a, v, g: in whole 32s, by the root of the width */
static int lora_width(const struct mr_config *cfg, int i)
{
    static const double factors[4] = {2.5, 2.5, 1.7, 5};
    return i > 3 ? 0 : 32 * (int)fmax(1, round(factors[i] * sqrt(cfg->n_embd) / 32));
}

const struct mr_family mr_family_rwkv7 = {.name = "rwkv7",
                                          .branches = branches,
                                          .rwkv = 7,
                                          .keys = MR_KEYS_FFN | MR_KEYS_HEAD_SIZE | MR_KEYS_RWKV7 | MR_KEYS_DROPOUT,
                                          MR_RWKV_NAMES,
                                          .heads_by_size = true,
                                          .lora_width = lora_width,
                                          .embedding_range = 1e-4,
                                          .head_gain = 0.5,
                                          .training = {.beta2 = 0.99, .eps = 1e-18, .l2wrap = 1e-4}};
