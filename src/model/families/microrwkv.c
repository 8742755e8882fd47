/* SPDX-License-Identifier: GPL-3.0-or-later
 * MicroRWKV: time mix, channel mix, sliding-window attention, grouped attention on a second pass through the same
 * time mix, and a small mixture of experts; as published (reference) or exactly decodable (causal). */
#include "model/families/families.h"

#define RMS                    \
    {                          \
        &mr_layer_rms_norm, "" \
    }
#define TMIX                             \
    {                                    \
        &mr_layer_time_mix_x051a, "tmix" \
    }

/* Both uses of tmix share one set of parameters and have two states. */
#define CAUSAL(mixture)                                                                                       \
    {                                                                                                         \
        {.chain = {RMS, TMIX}}, {.chain = {RMS, {&mr_layer_channel_mix, "cmix"}}},                            \
            {.chain = {{&mr_layer_window_attention, "sliding_attn"}}},                                        \
            {.chain = {TMIX, {&mr_layer_grouped_attention, "grouped_attn"}}}, {.chain = {{&mixture, "moe"}}}, \
            {.chain = {{NULL, NULL}}},                                                                        \
    }

#define CAUSAL_RMS(mixture)                                                        \
    {                                                                              \
        {.chain = {RMS, TMIX}}, {.chain = {RMS, {&mr_layer_channel_mix, "cmix"}}}, \
            {.chain = {RMS, {&mr_layer_window_attention, "sliding_attn"}}},        \
            {.chain = {RMS, TMIX, {&mr_layer_grouped_attention, "grouped_attn"}}}, \
            {.chain = {RMS, {&mixture, "moe"}}}, {.chain = {{NULL, NULL}}},        \
    }

static const struct mr_branch causal_dense[] = CAUSAL(mr_layer_mixture), causal_topk[] = CAUSAL(mr_layer_mixture_topk);
static const struct mr_branch causal_rms_dense[] = CAUSAL_RMS(mr_layer_mixture);
static const struct mr_branch causal_rms_topk[] = CAUSAL_RMS(mr_layer_mixture_topk);

static const struct mr_branch reference[] = {
    {.chain = {RMS, TMIX}},
    {.chain = {RMS, {&mr_layer_channel_mix, "cmix"}}},
    {.chain = {{&mr_layer_reference_sliding, "sliding_attn"}}},
    {.chain = {TMIX, {&mr_layer_reference_grouped, "grouped_attn"}}},
    {.chain = {{&mr_layer_mixture, "moe"}}},
    {.chain = {{NULL, NULL}}},
};

static const struct mr_branch *choose(const struct mr_config *cfg)
{
    if (cfg->mode == MR_REFERENCE)
        return reference;
    if (cfg->branch_norm == MR_BRANCH_NORM_RMS)
        return cfg->moe == MR_MOE_TOPK ? causal_rms_topk : causal_rms_dense;
    return cfg->moe == MR_MOE_TOPK ? causal_topk : causal_dense;
}

static void defaults(struct mr_config *cfg)
{
    cfg->n_layer = cfg->n_head = 8;
    cfg->positions = MR_POSITIONS_NONE;
    cfg->aux = MR_AUX_DIVERSITY;
}

static int check(const struct mr_config *c)
{
    if (c->num_experts < 1 || c->num_active_experts < 1 || c->num_active_experts > c->num_experts)
        return mr_fail(MR_EINVAL, "num_active_experts %d must be between 1 and num_experts %d", c->num_active_experts,
                       c->num_experts);
    if (c->num_experts > 64)
        return mr_fail(MR_EINVAL, "num_experts %d is more than the 64 that are supported", c->num_experts);
    if (mr_expert_width(c) < 1)
        return mr_fail(MR_EINVAL, "expert_dim %d * expert_capacity_scale %g gives an expert of width 0", c->expert_dim,
                       c->expert_capacity_scale);
    if (c->mode == MR_REFERENCE) {
        if (c->n_embd % (4 * c->n_head))
            return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of 4 * n_head %d, as mode=reference needs",
                           c->n_embd, c->n_head);
        if (c->moe != MR_MOE_DENSE || c->aux != MR_AUX_NONE)
            return mr_fail(MR_EINVAL, "mode=reference needs moe=dense and aux=none");
        return 0;
    }
    if (c->window < 1 || c->groups < 1)
        return mr_fail(MR_EINVAL, "window %d and groups %d must be at least 1", c->window, c->groups);
    if (c->n_embd % ((int64_t)c->groups * c->n_head))
        return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of groups %d * n_head %d", c->n_embd, c->groups,
                       c->n_head);
    if (c->aux != MR_AUX_NONE && (c->aux == MR_AUX_BALANCE) != (c->moe == MR_MOE_TOPK))
        return mr_fail(MR_EINVAL, "aux=diversity needs moe=dense and aux=balance needs moe=topk: change one of them");
    return 0;
}

const struct mr_family mr_family_microrwkv = {
    .name = "microrwkv",
    .keys = MR_KEYS_NANO | MR_KEYS_MICRO | MR_KEYS_WINDOW | MR_KEYS_DROPOUT,
    .choose = choose,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .final_norm = "transformer.ln_f.",
    .defaults = defaults,
    .check = check,
};
