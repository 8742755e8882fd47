/* SPDX-License-Identifier: GPL-3.0-or-later
 * One table a family. */
#ifndef MR_MODEL_FAMILIES_FAMILIES_H
#define MR_MODEL_FAMILIES_FAMILIES_H

#include "model/layer.h"

extern const struct mr_family mr_family_microrwkv, mr_family_nanorwkv, mr_family_gpt2, mr_family_rwkv4, mr_family_rwkv5,
    mr_family_rwkv6, mr_family_rwkv7, mr_family_opt, mr_family_gptneo, mr_family_gptneox;

/* What must hold for GPT-2, OPT, GPT-Neo and GPT-NeoX. */
int mr_transformer_check(const struct mr_config *cfg);

/* No learned positions; n_embd, head_size and the widths that follow from them. */
void mr_rwkv_defaults(struct mr_config *cfg);
int mr_rwkv_check(const struct mr_config *cfg);
/* int(3.5C) in whole 32s: of a channel mix with a receptance gate. */
int mr_rwkv_ffn_width(const struct mr_config *cfg);

/* What RWKV-4 to 7 share: names as in the official files, a norm after the embedding, a head of its own. */
#define MR_RWKV_NAMES                                                                                                \
    .block_prefix = "blocks.%d.", .embedding = "emb.weight", .first_norm = "blocks.0.ln0.", .final_norm = "ln_out.", \
    .head = "head.weight", .norm_bias = true, .defaults = mr_rwkv_defaults, .check = mr_rwkv_check

#endif
