/* SPDX-License-Identifier: GPL-3.0-or-later
 * A pass: the planned memory and the run of a model over batches of positions, forward and backward. */
#ifndef MR_MODEL_PASS_H
#define MR_MODEL_PASS_H

#include "model/model.h"
#include "ops/dropout.h"

/* A tensor of the pass that layers find by name. */
struct mr_shared_tensor {
    const char *name;
    size_t count;
    mr_tensor tensor;
    struct mr_shared_tensor *next;
};

struct mr_pass {
    mr_model *model;
    mr_runtime *rt;
    const struct mr_config *cfg;
    struct mr_pass_options options;
    mr_arena *arena;

    /* The present call. */
    int batch, time, rows; /* rows = batch * time */
    int64_t position;      /* of its first token, counted from the start of the state */
    bool backward;         /* a backward follows: what it needs is kept, dropout is on */
    float loss_scale;      /* 1, or 1 / gradient_accumulation_steps */
    uint64_t seed, micro_step;
    int unique_tokens, valid_targets;

    struct mr_node *nodes; /* blocks * links of a block */
    int node_count, branches, links;

    /* On the device. R = B*T. */
    mr_tensor tokens, order, first;          /* i32 [R], [R], [R+1] */
    mr_tensor targets;                       /* i32 [R] */
    mr_tensor embedded;                      /* [R,C], before first_norm */
    mr_tensor *x;                            /* [R,C] before each branch and after the last; one when not training */
    mr_tensor *mid;                          /* [R,C] between the links of a branch */
    mr_tensor y;                             /* [R,C] a branch's output */
    mr_tensor final, final_mean, final_rstd; /* ln_f(x) [R,C] */
    mr_tensor first_mean, first_rstd;
    mr_tensor dx, dmid[2], dfinal; /* [R,C] */
    mr_tensor logits;              /* [slice_rows, V] */
    int slice_rows;
    mr_tensor row_loss, cross_entropy, aux; /* [R], [1], [1] */
    mr_tensor reduce;                       /* scratch of the reductions over rows */
    struct mr_shared_tensor *shared;        /* what layers hand on to each other */
    mr_tensor **states;                     /* every tensor of the state, in the order of planning */
    int state_count;
};

/* Plans the pass: fills its plan without allocating. Used by mr_pass_create and by `info --plan`. */
int mr_pass_plan(struct mr_pass *pass, mr_plan *plan, const struct mr_params *params, const mr_runtime *rt);

/* What one of the node's sites draws in the present call; p is 0 without a backward. */
struct mr_dropout mr_pass_draws(const struct mr_pass *pass, uint32_t site);

/* dropout of the present call (0 without a backward) at one of the node's sites, in place. */
int mr_pass_dropout(struct mr_pass *pass, uint32_t site, const mr_tensor *x, size_t count);

/* The backward of mr_pass_dropout: where dropout is on, writes the masked *dy into `room` (which may be the
 * tensor that the caller will overwrite with dx last) and lets *dy point to it; dy itself stays. */
int mr_pass_undrop(struct mr_pass *pass, uint32_t site, const mr_tensor **dy, const mr_tensor *room, size_t count);

#endif
