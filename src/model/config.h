/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a model is: family, sizes and choices, as files and the command line name them. */
#ifndef MR_MODEL_CONFIG_H
#define MR_MODEL_CONFIG_H

#include <stdbool.h>

#include "base/error.h"
#include "base/settings.h"

enum mr_family_id {
    MR_MICRORWKV,
    MR_NANORWKV,
    MR_GPT2,
    MR_RWKV4,
    MR_RWKV5,
    MR_RWKV6,
    MR_RWKV7,
    MR_OPT,
    MR_GPTNEO,
    MR_GPTNEOX,
    MR_FAMILIES,
};

enum mr_mode { MR_CAUSAL, MR_REFERENCE };
enum mr_positions { MR_POSITIONS_LEARNED, MR_POSITIONS_NONE };
enum mr_branch_norm { MR_BRANCH_NORM_NONE, MR_BRANCH_NORM_RMS };
enum mr_moe { MR_MOE_DENSE, MR_MOE_TOPK };
enum mr_aux { MR_AUX_NONE, MR_AUX_DIVERSITY, MR_AUX_BALANCE };
enum mr_gelu { MR_GELU_ERF, MR_GELU_TANH, MR_GELU_RELU, MR_GELU_QUICK };
enum mr_attention_scale { MR_SCALE_ROOT, MR_SCALE_LAYER, MR_SCALE_NONE };

struct mr_config {
    int family; /* enum mr_family_id */
    int n_layer, n_head, n_embd, block_size, vocab_size;
    bool bias;
    double dropout;
    /* MicroRWKV */
    int mode, positions, branch_norm, moe, aux; /* the enums above */
    int num_experts, num_active_experts, expert_dim, window, groups;
    double expert_capacity_scale, aux_weight;
    /* GPT-2, OPT, GPT-Neo, GPT-NeoX */
    int gelu, attention_scale; /* the enums above */
    bool tied;                 /* the embedding is the head */
    bool parallel;             /* attention and MLP read the same */
    double rotary_pct, rotary_base;
    double ln_eps; /* of the layer norms */
    /* RWKV-4 to 7 */
    int head_size;   /* RWKV-5 to 7: the heads follow from it */
    int ffn_dim;     /* of the MLP too; 0: what is usual for the family, see mr_ffn_width */
    int lora_dim[6]; /* widths of the low-rank pairs, RWKV-6: mixing, decay; RWKV-7: w, a, v, g; 0: the usual */
    bool rwkv51;     /* RWKV-5.1: one decay a head, no gate */
    double ln_x_eps;
};

/* The published configuration of a family: MicroRWKV in causal mode with the defaults for new models. */
void mr_config_defaults(struct mr_config *cfg, int family);

const char *mr_family_name(int family);
/* The family of that name; MR_EINVAL names the known ones. */
int mr_family_by_name(const char *name);

/* Sets one key; *known tells whether it is a model's key at all (then value must fit it). known may be NULL:
 * an unknown key is then an error that names the nearest one. */
int mr_config_set(struct mr_config *cfg, const char *key, const struct mr_value *value, bool *known);
/* Sets all keys that the settings (or NULL) have; what is not a model's key, or none, is skipped. */
int mr_config_set_all(struct mr_config *cfg, const struct mr_settings *settings);
/* Adds the keys that mean something for the family, in a fixed order. */
int mr_config_settings(const struct mr_config *cfg, struct mr_settings *settings);
/* The i-th key's name, NULL past the last: for messages and --help. */
const char *mr_config_key(int i);
/* What key i means, and its default in the first family that has it (the caller frees the value); NULL past the last.
 */
const char *mr_config_meaning(int i, struct mr_value *value);

/* What must hold before a model can be built: heads divide the width, modes fit each other, … (MR_EINVAL). */
int mr_config_check(const struct mr_config *cfg);

/* Heads: n_embd / head_size in RWKV-5 to 7, else n_head. */
int mr_head_count(const struct mr_config *cfg);
/* Width of RWKV-4 to 7's channel mix or of a transformer's MLP, and of RWKV's i-th low-rank pair: what cfg says, else
 * what is usual. */
int mr_ffn_width(const struct mr_config *cfg);
int mr_lora_width(const struct mr_config *cfg, int i);

/* Numbers of a head that turn with the position, in a family with rotary positions. */
int mr_turned(const struct mr_config *cfg);

/* Width of an expert: int(expert_dim * expert_capacity_scale). */
int mr_expert_width(const struct mr_config *cfg);
/* Experts that exist as parameters: all with topk, the active ones with dense and in reference mode. */
int mr_expert_count(const struct mr_config *cfg);

#endif
