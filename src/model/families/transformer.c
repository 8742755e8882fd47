/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the configurations of GPT-2, OPT, GPT-Neo and GPT-NeoX have in common. */
#include "model/families/families.h"
#include "ops/window_attention.h"

int mr_transformer_check(const struct mr_config *c)
{
    if (c->n_embd > 1 << 18)
        return mr_fail(MR_EINVAL, "n_embd %d is more than 2^18", c->n_embd);
    if (c->n_embd / c->n_head > MR_WINDOW_ATTENTION_WIDTH)
        return mr_fail(MR_EINVAL, "n_embd %d in %d heads (n_head) makes each %d wide: at most %d are supported",
                       c->n_embd, c->n_head, c->n_embd / c->n_head, MR_WINDOW_ATTENTION_WIDTH);
    if (mr_ffn_width(c) > 1 << 20)
        return mr_fail(MR_EINVAL, "ffn_dim %d is more than 2^20", mr_ffn_width(c));
    if (!(c->ln_eps > 0))
        return mr_fail(MR_EINVAL, "ln_eps %g must be more than 0", c->ln_eps);
    return 0;
}
