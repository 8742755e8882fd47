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

static const struct mr_branch *block(const struct mr_config *cfg)
{
    if (cfg->mode == MR_REFERENCE)
        return reference;
    if (cfg->branch_norm == MR_BRANCH_NORM_RMS)
        return cfg->moe == MR_MOE_TOPK ? causal_rms_topk : causal_rms_dense;
    return cfg->moe == MR_MOE_TOPK ? causal_topk : causal_dense;
}

const struct mr_family mr_family_microrwkv = {
    .block = block,
    .block_prefix = "transformer.h.%d.",
    .embedding = "transformer.wte.weight",
    .positions = "transformer.wpe.weight",
    .final_norm = "transformer.ln_f.",
};
