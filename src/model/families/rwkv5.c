/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-5.1 and 5.2: a matrix-valued state whose decay is fixed. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv5_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

const struct mr_family mr_family_rwkv5 = {.name = "rwkv5",
                                          .branches = branches,
                                          .rwkv = 5,
                                          .keys = MR_KEYS_FFN | MR_KEYS_HEAD_SIZE | MR_KEYS_RWKV5 | MR_KEYS_DROPOUT,
                                          MR_RWKV_NAMES,
                                          .heads_by_size = true,
                                          .ffn_width = mr_rwkv_ffn_width,
                                          .embedding_range = 1e-4,
                                          .head_gain = 0.5,
                                          .training = {.beta2 = 0.99, .l2wrap = 1e-4}};
