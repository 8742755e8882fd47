/* SPDX-License-Identifier: GPL-3.0-or-later
 * A model: a configuration and its weights on a device. Read-only while it runs, and shared by all states and
 * workspaces that use it. */
#ifndef MR_MODEL_MODEL_H
#define MR_MODEL_MODEL_H

#include "model/config.h"
#include "model/params.h"
#include "model/tuning.h"
#include "rt/rt.h"

typedef struct mr_model {
    mr_runtime *rt;
    struct mr_config cfg;
    struct mr_params params;
    mr_arena *arena;
    int references;
    uint64_t states_made;
    uint64_t digest; /* of the weights as they were read; 0: not read from a file */
    float *initial;  /* the state that every text begins with, as in mr_states_read without the position; NULL: zeros */
} mr_model;

/* Declares all parameters of cfg's family into params, in the order of files. Works without a device. */
int mr_model_declare(struct mr_params *params, const struct mr_config *cfg);

/* Whether models of this configuration can be trained: all of their layers have a backward. */
bool mr_model_trainable(const struct mr_config *cfg);
/* MR_EINVAL, saying so, if they cannot. */
int mr_model_check_trainable(const struct mr_config *cfg);

/* Plans the weights, each in the element format that its parameter names. */
int mr_model_plan(struct mr_params *params, mr_plan *plan);

/* A model with all weights 0. force: see mr_plan_allocate. choose (or NULL: all f32) may set a parameter's format
 * before memory is planned. */
typedef int mr_format_choice(void *context, struct mr_param *p);
int mr_model_create(mr_model **model, mr_runtime *rt, const struct mr_config *cfg, mr_format_choice *choose,
                    void *context, bool force);
/* The same, of which only a part may be trained. */
int mr_model_create_tuned(mr_model **model, mr_runtime *rt, const struct mr_config *cfg, const struct mr_tuning *tuning,
                          mr_format_choice *choose, void *context, bool force);
/* The formats of the parameters as `choose` (or NULL: all f32) says; what is trained stays f32 where `tuning` is given.
 */
int mr_model_formats(struct mr_params *params, const struct mr_tuning *tuning, mr_format_choice *choose, void *context);
/* Another reference to the same model. */
mr_model *mr_model_share(mr_model *model);
/* Drops a reference; the last one frees. NULL is fine. */
void mr_model_free(mr_model *model);

/* Draws the initial weights as the family's definition says. */
int mr_model_init(mr_model *model, uint64_t seed);

#endif
