/* SPDX-License-Identifier: GPL-3.0-or-later
 * A workspace: the planned memory in which a model runs. One call, mr_run, takes pieces of any number of texts
 * through the model; mr_loss and mr_backward follow where it trains. */
#ifndef MR_MODEL_WORKSPACE_H
#define MR_MODEL_WORKSPACE_H

#include "model/layer.h"
#include "model/param_set.h"
#include "model/states.h"
#include "ops/dropout.h"

struct mr_workspace_options {
    int batch, time;                      /* the largest batch without slots, and the longest piece */
    int steps;                            /* the most pieces of one token that run together; 0: batch */
    int logits;                           /* the most rows of logits that one call may ask for; 0: none, only mr_loss */
    bool training;                        /* backwards will follow */
    bool recompute;                       /* keep only what blocks begin with, and run each again for its backward */
    const struct mr_param_set *gradients; /* where they add what they find; NULL unless it trains */
    bool force;                           /* see mr_plan_allocate */
};

/* Mixtures of one layer at most, with a step's rest. */
enum { MR_STEP_MIXES = 8 };

enum mr_logits { MR_LOGITS_NONE, MR_LOGITS_LAST, MR_LOGITS_ALL };

/* Some tokens of one text. */
struct mr_piece {
    int slot; /* its state, which is read and advanced; negative: none, the text begins and ends with the piece */
    const int32_t *tokens;
    int count;
    int logits; /* enum mr_logits: which rows of logits are wanted */
};

/* Frees a workspace; NULL is fine. */
void mr_workspace_free(mr_workspace *ws);
int mr_workspace_create(mr_workspace **ws, mr_model *model, const struct mr_workspace_options *options);

/* The runs that follow: whether a backward follows each (dropout is on; the workspace must train), what loss and
 * gradients are multiplied by, and where dropout draws. Without this call: no backward, 1. */
void mr_workspace_set_training(mr_workspace *ws, bool backward, float loss_scale, uint64_t seed, uint64_t micro_step);

/* Runs pieces. Those without slot must have one length (a batch, at most batch x time); those with slots name
 * different ones, hold at most `time` tokens each, and their number of one token is at most `steps`. A text's numbers
 * do not depend on what else is in the call. Rows of logits are kept in the order of the pieces, for
 * mr_workspace_logits. states may be NULL where no piece has a slot. MR_EINVAL, with nothing changed: a token outside
 * the vocabulary, too many positions, pieces that do not fit. After another error the slots of the call are undefined:
 * they refuse to run until they are zeroed or written. */
int mr_run(mr_workspace *ws, mr_states *states, const struct mr_piece *pieces, int count);

/* Waits, and reads `rows` rows of the last run's logits from `row` on: [rows, V]. */
int mr_workspace_logits(mr_workspace *ws, int row, int rows, float *logits);
/* The first `count` rows of the last run's logits in one go, each to a place of its own: rows[i] is [V], or NULL where
 * nobody wants it (but not the only one). */
int mr_workspace_first_logits(mr_workspace *ws, int count, float *const *rows);

/* Loss over the targets (host, one for each row of the last run, -1: none), which was a batch without slots or one
 * piece: on the device, without waiting. Where a backward follows, prepares it. logits (host, [rows, V], or NULL) also
 * gets all logits. */
int mr_loss(mr_workspace *ws, const int32_t *targets, float *logits);
/* Adds the gradients of everything. After mr_loss. */
int mr_backward(mr_workspace *ws);
/* Waits and reads the cross-entropy (mean over targets) and the auxiliary term (already weighted), each times
 * loss_scale. */
int mr_read_loss(mr_workspace *ws, float *cross_entropy, float *aux);

/* The name of the first layer, embedding or head in which the last group gives something that is no finite number:
 * runs it again, layer by layer; its slot is undefined afterwards. */
int mr_first_not_finite(mr_workspace *ws, char place[MR_NAME]);

/* ---- for layers --------------------------------------------------------------------------------------------- */

/* A tensor that layers find by name. */
struct mr_shared_tensor {
    const char *name;
    size_t count;
    bool gradient;
    mr_tensor tensor;
    struct mr_shared_tensor *next;
};

/* A step that may come again: the states' serial, its rows, the row of logits of its first one. */
struct mr_kept_step {
    uint64_t states;
    int rows, logits;
    bool ran;
    mr_recording *launches; /* NULL: not yet */
};
enum { MR_KEPT_STEPS = 4 };

struct mr_workspace {
    mr_model *model;
    mr_runtime *rt;
    const struct mr_config *cfg;
    struct mr_workspace_options options;
    bool training, recompute;
    mr_arena *arena;

    /* The group that runs now. */
    int batch, time, rows; /* rows = batch * time */
    mr_states *states;     /* NULL: pieces without slots */
    int slot;
    int64_t position; /* of its first token in the text */
    bool backward;    /* a backward follows: what it needs is kept, dropout is on */
    float loss_scale; /* 1, or 1 / gradient_accumulation_steps */
    float l2wrap;     /* see mr_cross_entropy */
    uint64_t seed, micro_step;
    int unique_tokens, valid_targets;
    bool stepping;   /* the last group was a step */
    char *first_bad; /* [MR_NAME], see mr_first_not_finite; NULL: do not look */

    struct mr_node *nodes; /* blocks * links of a block */
    int node_count, branches, links;
    bool has_turns;               /* the table of rotary positions is written */
    bool beside;                  /* a branch of a block is beside another */
    int first_trained;            /* the branch, counted over all blocks, down to which backward goes */
    mr_tensor *sinks;             /* [params.count], see mr_sink */
    mr_tensor low, dlow, dropped; /* of adapters: A x and its gradient [R,rank]; [R,in] where they drop out */
    struct {
        struct mr_param *embedding, *positions, *head; /* positions NULL: none */
        struct mr_param *final_weight, *final_bias, *first_weight, *first_bias;
    } own;

    bool can_step; /* every layer has a step */
    struct mr_kept_step kept_steps[MR_KEPT_STEPS];
    unsigned next_kept;
    int32_t *host;       /* [R] tokens of a group, gathered */
    int32_t *order_host; /* [2R+1] */
    /* On the device. */
    mr_tensor step_numbers;                  /* i32 [3,S]: tokens, slots, positions of a step's rows */
    mr_tensor step_tokens, slots, positions; /* its parts */
    mr_tensor mixes;                         /* [MR_STEP_MIXES,S,C]: what a step's layer mixes from its input */
    mr_tensor tokens, order, first;          /* i32 [R], [R], [R+1] */
    mr_tensor targets;                       /* i32 [R] */
    mr_tensor embedded;                      /* [R,C], before first_norm */
    mr_tensor *x;                            /* [R,C] before each branch and after the last; one, or two in
                                                turn, when not training */
    mr_tensor *mid;                          /* [R,C] between the links of a branch */
    mr_tensor y;                             /* [R,C] a branch's output */
    mr_tensor final, final_mean, final_rstd; /* ln_f(x) [R,C] */
    mr_tensor first_mean, first_rstd;
    mr_tensor dx, dmid[2], dfinal; /* [R,C] */
    mr_tensor dbeside;             /* [R,C] of what a branch beside another read */
    mr_tensor logits;              /* [logits, V], kept from mr_run to mr_workspace_logits */
    int logit_rows;                /* of the last run */
    mr_tensor slice;               /* [slice_rows, V] for the loss */
    int slice_rows;
    mr_tensor row_loss, cross_entropy, aux; /* [R], [1], [1] */
    mr_tensor kept_aux;                     /* [1], while blocks run again */
    mr_tensor reduce;                       /* scratch of the reductions over rows */
    struct mr_shared_tensor *shared;        /* what layers hand on to each other */
};

/* Plans the workspace into `plan` without allocating; ws has model NULL, cfg and options set, zero else, and is freed
 * by mr_workspace_free. For plans that are only shown. */
int mr_workspace_plan(mr_workspace *ws, mr_plan *plan, const struct mr_params *params, mr_runtime *rt);
/* Counts what the runtime's matrix products need for `rows` rows. */
int mr_plan_products(mr_plan *plan, const struct mr_params *params, mr_runtime *rt, int rows, bool training);

/* The slot's part of the node's i-th state tensor in the present group, or NULL where it has none. */
int mr_state_of(mr_workspace *ws, const struct mr_node *node, int i, const mr_tensor **state);

/* Whether the parameter has a gradient; false for NULL. */
static inline bool mr_trained(const struct mr_param *p)
{
    return p && !p->frozen;
}
/* Where the parameter's gradient is added up; of a frozen one scratch that nobody reads, or NULL. NULL for NULL. */
const mr_tensor *mr_grad(const mr_workspace *ws, const struct mr_param *p);

/* What one of the node's sites draws in the present group; p is 0 without a backward. */
struct mr_dropout mr_drop_of(const mr_workspace *ws, uint32_t site);
/* Dropout at one of the node's sites, in place. */
int mr_drop(mr_workspace *ws, uint32_t site, const mr_tensor *x, size_t count);
/* The backward of mr_drop: where dropout is on, writes the masked *dy into `masked` (which may be the tensor that the
 * caller overwrites with dx last) and lets *dy point to it; dy itself stays. */
int mr_drop_backward(mr_workspace *ws, uint32_t site, const mr_tensor **dy, const mr_tensor *masked, size_t count);

/* Logits [rows, V] of rows `row`… of the final norm's output into `to`, from element `offset` on. */
int mr_head_forward(mr_workspace *ws, int row, int rows, const mr_tensor *to, size_t offset);

#endif
