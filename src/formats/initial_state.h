/* SPDX-License-Identifier: GPL-3.0-or-later
 * What state tuning makes: the state that texts begin with, one blocks.N.att.time_state (H,64,64) a layer, in a file of
 * its own or beside the weights. */
#ifndef MR_FORMATS_INITIAL_STATE_H
#define MR_FORMATS_INITIAL_STATE_H

#include "formats/names.h"
#include "formats/recipe.h"

#define MR_INITIAL_STATE "blocks.%d.att.time_state"

/* Whether a tensor (its name behind the prefix) is a layer's. */
bool mr_is_initial_state(const char *name);

/* The tensor of a layer, which is block's; -1: there is none. */
int64_t mr_initial_state_find(const mr_tensor_file *source, const struct mr_naming *naming, int block);

/* That tensor's numbers as official files have them, [head, value, key]; .st files have [head, key, value]. MR_EFILE:
 * its shape is not that of this model's states. */
int mr_initial_state_recipe(struct mr_recipe *recipe, const mr_tensor_file *source, const struct mr_naming *naming,
                            const struct mr_config *cfg, size_t tensor);

/* The state as mr_model.initial has it; NULL: the file holds none. The caller frees it. MR_EFILE: it is not one of this
 * model. */
int mr_initial_state_read(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg,
                          float **state);

/* A file that holds nothing else. */
int mr_initial_state_open(const char *path, const struct mr_config *cfg, float **state);

/* What a run with adapter=state learned (blocks.N.att.initial_state of its checkpoint), as official files have it. */
int mr_initial_state_write(const char *checkpoint, const char *path);

#endif
