/* SPDX-License-Identifier: GPL-3.0-or-later
 * A training run: model, data, optimizer, and the loop over them. */
#ifndef MR_TRAIN_TRAINER_H
#define MR_TRAIN_TRAINER_H

#include <jansson.h>

#include "model/workspace.h"
#include "data/token_file.h"
#include "formats/training.h"
#include "train/run.h"
#include "train/saving.h"

/* What a rank updates of one segment of memory: elements first .. end-1, of the tensors element 0 on. */
struct mr_part {
    mr_tensor value, grad, moments[2];
    size_t first, end;
};

struct mr_counts {
    int64_t iter, optimizer_steps;
    uint64_t micro_step;
};

typedef struct mr_trainer {
    struct mr_train_config *cfg;
    mr_runtime *rt;
    struct mr_config model_cfg;
    mr_model *model;
    mr_workspace *ws;
    struct mr_tuning tuning;
    char *base;                                /* of an adapter: the model's path, as a whole; or NULL */
    struct mr_param_set gradients, moments[2]; /* means of gradients, and of their squares */
    struct mr_piece *pieces;                   /* [batch_size] of the present batch */
    mr_token_data *data;
    mr_stored_tokenizer *tokenizer; /* what the data was made with, or NULL */
    int64_t iter, optimizer_steps;
    uint64_t micro_step; /* training forwards since iteration 0 */
    uint64_t seed;
    double best_val_loss;
    int64_t best_iter;         /* where it was */
    int64_t saved;             /* the iteration that ckpt.mrw holds; -1: this run has not saved yet */
    int skipped, rolled_back;  /* on_nan: updates left out in a row; rollbacks since the last save */
    int64_t proven;            /* the last one whose state gave a finite loss; -1: none */
    int32_t *tokens, *targets; /* one micro-batch, host */
    mr_tensor norm_partials, grad_norm, clip, loss, report;
    int partial_count;
    struct mr_counts seen; /* when the host last read the report */
    int unread;            /* iterations since then */
    int rank, ranks;       /* 0 of 1 where one process trains alone */
    float *gathered;       /* [ranks][2] */
    bool stopping;         /* a rank was asked to stop, and all know */
    struct mr_part *parts; /* [part_count], where each rank holds its share of the moments (zero=1) */
    int part_count;
    double wait_ms, comm_ms; /* of the last iteration: waiting for other ranks, and exchanging with them */
    FILE *log;
    struct mr_saving saving;
    const struct mr_train_events *events; /* or NULL */
} mr_trainer;

/* ---- its parts ---------------------------------------------------------------------------------------------- */

/* Builds model, data and pass; reads the checkpoint where init_from says so. */
int mr_trainer_open(mr_trainer *t, mr_runtime *rt, struct mr_train_config *cfg);
void mr_trainer_close(mr_trainer *t);

/* Windows that follow each other without overlap: an epoch of sampling=epoch. */
uint64_t mr_trainer_windows(const mr_trainer *t);
/* Micro-batch `micro_step` of a stream into t->tokens and t->targets. */
int mr_trainer_batch(mr_trainer *t, int split, uint32_t stream, uint64_t micro_step);

/* Queues one iteration: all micro-batches forward and backward, then the update. It does not wait. */
int mr_trainer_queue(mr_trainer *t, double lr);
/* Waits for the iterations that were queued: loss and gradient norm of the last one. *bad: one of them was not finite
 * and did not change the parameters, nor did those after it; the counts are back at its beginning. */
int mr_trainer_look(mr_trainer *t, float *loss, float *grad_norm, bool *bad);
/* Both: one iteration. MR_ENUMERIC: loss or norm is not finite; the state is what it was. */
int mr_trainer_iterate(mr_trainer *t, double lr, float *loss, float *grad_norm);

/* Gradient norm, clip, and one AdamW step over all parameters, unless loss or norm is not finite. */
int mr_trainer_update(mr_trainer *t, double lr);
int mr_trainer_optimizer_open(mr_trainer *t);
void mr_trainer_optimizer_close(mr_trainer *t);
/* MR_ENUMERIC: "iteration N: what", the first tensor that is not finite, and which state is saved. */
__attribute__((format(printf, 2, 3))) int mr_trainer_not_finite(mr_trainer *t, const char *format, ...);

/* ---- several ranks; where one trains alone these do what is plain -------------------------------------------- */

int mr_trainer_ranks_open(mr_trainer *t);
void mr_trainer_ranks_close(mr_trainer *t);
/* Gradients and moments, 0. */
int mr_trainer_sets_open(mr_trainer *t);
int mr_trainer_read_moments(mr_trainer *t, const char *path, const struct mr_settings *overrides);
/* Piece [at, at+n) of a moment (0 or 1) of parameter `index`, for rank 0 alone: all ranks call. */
int mr_trainer_moment(mr_trainer *t, int which, int index, size_t at, size_t n, float *buffer);

/* MR_EINVAL where the ranks differ in program, settings, data or state. `continues` becomes rank 0's. */
int mr_trainer_meet(mr_trainer *t, bool *continues);
/* 1: this or another rank was asked to stop; 0: none; or an error. */
int mr_trainer_stops(mr_trainer *t, const volatile sig_atomic_t *stop);
/* t->gathered: what each rank gives. */
int mr_trainer_gather(mr_trainer *t, float mine);
/* After all micro-batches of this rank: the loss and the gradients of all. */
int mr_trainer_combine(mr_trainer *t);
/* The partial sums of the norm, of all ranks' parts. */
int mr_trainer_norm_of_parts(mr_trainer *t);
struct mr_part mr_trainer_part(const mr_trainer *t, int segment);
/* After the update: the parameters that other ranks updated. */
int mr_trainer_spread(mr_trainer *t);

/* After MR_ENUMERIC, whose text is kept: 0 where on_nan lets the run go on, else err. skip: the update of this
 * iteration is left out; rollback: the state of ckpt.mrw is back, t->iter with it. */
int mr_trainer_skip(mr_trainer *t, int err);
int mr_trainer_rollback(mr_trainer *t, int err);

/* Begins to write out_dir/best.mrw, the weights alone, and (whole) then out_dir/ckpt.mrw with everything a resume
 * needs. The state is copied now and written while the run goes on; where there is no memory for that, all is done at
 * once. Waits for the save before. */
int mr_trainer_save(mr_trainer *t, bool best, bool whole);
/* Looks, or waits, whether the save that runs is done: then says so, and its error is told once. */
int mr_trainer_saved(mr_trainer *t, bool wait);
void mr_trainer_saving_close(mr_trainer *t);
/* What a checkpoint of this moment says of the run; `given` is borrowed. */
struct mr_training mr_trainer_state(const mr_trainer *t);
int mr_trainer_resume(mr_trainer *t, const struct mr_training *training);

/* out_dir/log.jsonl: lines of iterations from t->iter on are dropped, then it is appended to. */
int mr_trainer_log_open(mr_trainer *t);
int mr_trainer_log(mr_trainer *t, json_t *line); /* takes over the reference */

#endif
