/* SPDX-License-Identifier: GPL-3.0-or-later
 * A model: a configuration and its parameters on a device; and the passes that run it. */
#ifndef MR_MODEL_MODEL_H
#define MR_MODEL_MODEL_H

#include "model/config.h"
#include "model/params.h"
#include "rt/rt.h"

typedef struct mr_model {
    mr_runtime *rt;
    struct mr_config cfg;
    struct mr_params params;
    bool trains; /* gradients and moments are there */
    mr_arena *arena;
} mr_model;

/* Declares all parameters of cfg's family into params, in the order of files. Works without a device. */
int mr_model_declare(struct mr_params *params, const struct mr_config *cfg);

/* Whether models of this configuration can be trained: all of their layers have a backward. */
bool mr_model_trainable(const struct mr_config *cfg);
/* MR_EINVAL, saying so, if they cannot. */
int mr_model_check_trainable(const struct mr_config *cfg);

/* A model with all parameters 0; with `trains` gradients and moments are allocated too. force: see
 * mr_plan_allocate. */
int mr_model_create(mr_model **model, mr_runtime *rt, const struct mr_config *cfg, bool trains, bool force);
void mr_model_free(mr_model *model);
/* Starts all parameters at random as the family's definition says. */
int mr_model_start(mr_model *model, uint64_t seed);
/* Plans the parameters (and gradients and moments). */
int mr_model_plan(struct mr_params *params, mr_plan *plan, bool trains);

int mr_model_zero_gradients(mr_model *model);

struct mr_pass_options {
    int batch, time; /* the most that one call holds */
    bool training;   /* forward keeps what backward needs */
    bool with_state; /* calls continue where the last one ended, until mr_pass_reset */
    bool force;      /* see mr_plan_allocate */
};

typedef struct mr_pass mr_pass;

int mr_pass_create(mr_pass **pass, mr_model *model, const struct mr_pass_options *options);
void mr_pass_free(mr_pass *pass);

/* The seed of dropout, and the micro-step: every training forward since iteration 0 counts. */
void mr_pass_set_draws(mr_pass *pass, uint64_t seed, uint64_t micro_step);

/* Runs batch x time tokens (host, [batch, time]) through the trunk, up to the final norm. With state: they
 * follow the ones before. backward: a mr_pass_backward follows (dropout is on), loss and gradients are
 * multiplied by loss_scale. MR_EINVAL: a token outside the vocabulary, too many positions. */
int mr_pass_forward(mr_pass *pass, const int32_t *tokens, int batch, int time, bool backward, float loss_scale);

/* Loss over the targets (host, [batch, time], -1: none) of the last forward: on the device, without waiting. Where
 * the forward was for a backward, it prepares that. logits (host, [batch*time, V], or NULL) also gets all logits. */
int mr_pass_loss(mr_pass *pass, const int32_t *targets, float *logits);

/* Gradients of everything, added to the parameters' gradients. After mr_pass_loss. */
int mr_pass_backward(mr_pass *pass);

/* Waits and reads the cross-entropy (mean over targets) and the auxiliary term (already weighted), each times
 * loss_scale. */
int mr_pass_read_loss(mr_pass *pass, float *cross_entropy, float *aux);

/* Logits of `rows` rows from `row` on of the last forward, to host memory [rows, V]. */
int mr_pass_logits(mr_pass *pass, int row, int rows, float *logits);

/* Empties the state: the next call starts at position 0. */
int mr_pass_reset(mr_pass *pass);
int64_t mr_pass_position(const mr_pass *pass);

/* The state as bytes (position included): the same for every device. Size in bytes; read into and restored from
 * host memory of that size. A state fits a pass of the same model and batch. */
size_t mr_pass_state_size(const mr_pass *pass);
int mr_pass_state_read(mr_pass *pass, void *state);
int mr_pass_state_restore(mr_pass *pass, const void *state, size_t size);

#endif
