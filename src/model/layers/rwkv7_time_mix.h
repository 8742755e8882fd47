/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the files of RWKV-7's time mix share: its parameters and its memory. */
#ifndef MR_MODEL_LAYERS_RWKV7_TIME_MIX_H
#define MR_MODEL_LAYERS_RWKV7_TIME_MIX_H

#include "model/layers/low_rank.h"
#include "model/workspace.h"
#include "ops/token_shift.h"
#include "ops/wkv7.h"

/* Linear layers, and by what the token shift mixes their inputs: r, k, v; then the pairs w, a, v, g. v's share the
 * mixture. */
enum { R7_R, R7_K, R7_V, R7_LINEARS };
enum { PAIR_W, PAIR_A, PAIR_V, PAIR_G, PAIRS };
enum { MIX_R, MIX_W, MIX_K, MIX_V, MIX_A, MIX_G, MIXTURES };
static const int mr_rwkv7_linear_mix[R7_LINEARS] = {MIX_R, MIX_K, MIX_V};
static const int mr_rwkv7_pair_mix[PAIRS] = {MIX_W, MIX_A, MIX_V, MIX_G};

struct mr_rwkv7_time_mix {
    struct mr_param *mix[MIXTURES], *k_k, *k_a, *r_k, *ln_weight, *ln_bias;
    struct mr_param *state; /* the recurrence's first one [H,N,N]; NULL: zeros */
    struct mr_linear linear[R7_LINEARS], output;
    struct mr_low_rank pair[PAIRS];
    mr_tensor mixed[MIXTURES]; /* [R,C] */
    mr_tensor in[R7_LINEARS];  /* r, k, v [R,C]; v of block 0 is v_first */
    mr_tensor made[4]; /* change, removal, key, value [R,C], where a backward follows; else they take the place of
                          what they are made of */
    mr_tensor lows;    /* [PAIRS, S, the widest pair]: of a step */
    mr_tensor kappa, y, normed; /* [R,C] */
    mr_tensor gated;            /* [R,C], where a backward follows; else normed */
    mr_tensor kept;             /* of the recurrence */
    mr_tensor mean, rstd;       /* [R,H] */
    const mr_tensor *v_first;   /* [R,C], of all blocks: 0 writes it, the others read it */
    mr_tensor first;            /* scratch [B,H,N,N]: the state of pieces without slots */
    /* Scratch of backward, [R,C] */
    const mr_tensor *dv_first; /* of all blocks */
    mr_tensor dmixed[MIXTURES], dr, dchange, dkey, dvalue, dkappa, dremoval, dshare, dgate, dy, dnormed, dgated;
    mr_tensor dstate, recurrence_scratch, around_scratch, norm_scratch, shift_scratch;
};

int mr_rwkv7_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block);
int mr_rwkv7_find(struct mr_rwkv7_time_mix *own, const struct mr_params *params, const char *prefix);

/* What the recurrence takes of block `block`'s inputs, and where it goes. */
struct mr_wkv7_inputs mr_rwkv7_inputs(const struct mr_rwkv7_time_mix *own, int block, bool training);

int mr_rwkv7_plan_backward(struct mr_rwkv7_time_mix *own, struct mr_planner *p);
int mr_rwkv7_backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                      const mr_tensor *dx);

static inline struct mr_token_shift mr_rwkv7_shift(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){.batch = batch, .time = time, .dim = cfg->n_embd, .count = MIXTURES};
}

static inline struct mr_wkv7 mr_rwkv7_recurrence(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_wkv7){batch, time, mr_head_count(cfg), cfg->head_size};
}

#endif
