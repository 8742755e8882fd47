/* SPDX-License-Identifier: GPL-3.0-or-later
 * What state tuning makes: the state that texts begin with, one blocks.N.att.time_state (H,64,64) a layer, in a file of
 * its own or beside the weights. */
#ifndef MR_FORMATS_INITIAL_STATE_H
#define MR_FORMATS_INITIAL_STATE_H

#include "formats/names.h"

/* Whether a tensor (its name behind the prefix) is a layer's. */
bool mr_is_initial_state(const char *name);

/* The state as mr_model.initial has it; NULL: the file holds none. The caller frees it. MR_EFILE: it is not one of this
 * model. */
int mr_initial_state_read(mr_tensor_file *source, const char *prefix, const struct mr_config *cfg, float **state);

/* A file that holds nothing else. */
int mr_initial_state_open(const char *path, const struct mr_config *cfg, float **state);

#endif
