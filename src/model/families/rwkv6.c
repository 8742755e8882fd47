/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-6: a matrix-valued state whose decay and token shift depend on the data. */
#include "model/families/families.h"

static const struct mr_branch blocks[] = {
    {.chain = {{&mr_layer_layer_norm, "ln1"}, {&mr_layer_rwkv6_time_mix, "att"}}},
    {.chain = {{&mr_layer_layer_norm, "ln2"}, {&mr_layer_rwkv_channel_mix, "ffn"}}},
    {.chain = {{NULL, NULL}}},
};

static const struct mr_branch *block(const struct mr_config *cfg)
{
    (void)cfg;
    return blocks;
}

const struct mr_family mr_family_rwkv6 = {.block = block, MR_RWKV_NAMES};
