/* SPDX-License-Identifier: GPL-3.0-or-later
 * A tensor of floats beside every parameter that is trained, laid out like these: gradients, or one of the optimizer's
 * moments. Their segments can be worked on as a whole, or divided among ranks. */
#ifndef MR_MODEL_PARAM_SET_H
#define MR_MODEL_PARAM_SET_H

#include "model/model.h"

struct mr_param_set {
    mr_model *model;
    enum mr_memory kind;
    mr_tensor *list; /* [params.count], in the order of the parameters; {0} for frozen ones */
    mr_arena *arena;
};

/* Plans a set without a model on a device; set->list is allocated (mr_param_set_free). */
int mr_param_set_plan(struct mr_param_set *set, mr_plan *plan, const struct mr_params *params, enum mr_memory kind);
/* All 0. force: see mr_plan_allocate. */
int mr_param_set_create(struct mr_param_set *set, mr_model *model, enum mr_memory kind, bool force);
/* {0} is fine. */
void mr_param_set_free(struct mr_param_set *set);

int mr_param_set_zero(const struct mr_param_set *set);
/* The set's memory: *count tensors that have the layout of the parameters' segments. */
const mr_tensor *mr_param_set_segments(const struct mr_param_set *set, int *count);

#endif
