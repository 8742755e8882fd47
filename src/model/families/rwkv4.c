/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-4: a decaying mean per channel. */
#include "model/families/families.h"

static const struct mr_branch branches[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv4_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

/* The embedding starts as small as the published trainer's first learning rate. */
const struct mr_family mr_family_rwkv4 = {.name = "rwkv4",
                                          .branches = branches,
                                          .rwkv = 4,
                                          .keys = MR_KEYS_FFN | MR_KEYS_DROPOUT,
                                          MR_RWKV_NAMES,
                                          .embedding_range = 6e-4,
                                          .head_gain = 0.5,
                                          .training = {.beta2 = 0.99, .l2wrap = 1e-4}};
