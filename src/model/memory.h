/* SPDX-License-Identifier: GPL-3.0-or-later
 * The memory that a use of a model takes: planned as a whole, without a device too. */
#ifndef MR_MODEL_MEMORY_H
#define MR_MODEL_MEMORY_H

#include "model/workspace.h"

struct mr_memory_need {
    struct mr_workspace_options workspace; /* gradients are not looked at */
    int slots;                             /* of states; 0: none */
    bool optimizer;                        /* gradients, both moments, and the copy that is saved from */
    const struct mr_tuning *tuning;        /* see mr_model_create_tuned; or NULL */
    mr_format_choice *choose;              /* see mr_model_create; or NULL */
    void *context;
};

/* How prompts are read and `sequences` texts continued: in chunks of 256 positions, within the learned ones. */
void mr_decoding_options(struct mr_workspace_options *options, const struct mr_config *cfg, int sequences);

/* The plan of all of it; the caller frees it. rt NULL: as for a middling CPU. */
int mr_memory_plan(mr_plan **plan, const struct mr_config *cfg, const struct mr_memory_need *need, mr_runtime *rt);

#endif
