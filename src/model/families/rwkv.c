/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the configurations of RWKV-4 to 7 have in common. */
#include "model/families/families.h"

void mr_rwkv_defaults(struct mr_config *cfg)
{
    cfg->positions = MR_POSITIONS_NONE;
}

int mr_rwkv_check(const struct mr_config *c)
{
    if (c->n_embd > 1 << 18)
        return mr_fail(MR_EINVAL, "n_embd %d is more than 2^18", c->n_embd);
    if (mr_family(c)->heads_by_size && (c->head_size < 1 || c->n_embd % c->head_size))
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of head_size %d", c->n_embd, c->head_size);
    if (mr_family(c)->heads_by_size && !(c->ln_x_eps > 0))
        return mr_fail(MR_EINVAL, "ln_x_eps %g must be more than 0", c->ln_x_eps);
    if (mr_ffn_width(c) > 1 << 20)
        return mr_fail(MR_EINVAL, "ffn_dim %d is more than 2^20", mr_ffn_width(c));
    for (int i = 0; i < 4; i++)
        if (mr_lora_width(c, i) > 1 << 16)
            return mr_fail(MR_EINVAL, "a low-rank pair of width %d is more than 2^16", mr_lora_width(c, i));
    return 0;
}

int mr_rwkv_ffn_width(const struct mr_config *cfg)
{
    int width = (int)(3.5 * cfg->n_embd);
    return width < 32 ? width : width / 32 * 32;
}
