/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-5.1 and 5.2: a matrix-valued state whose decay is fixed. */
#include "model/families/families.h"

static const struct mr_branch blocks[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv5_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

static const struct mr_branch *block(const struct mr_config *cfg)
{
    (void)cfg;
    return blocks;
}

const struct mr_family mr_family_rwkv5 = {.block = block, MR_RWKV_NAMES};
