/* SPDX-License-Identifier: GPL-3.0-or-later
 * What of a model is trained, where that is not all of it. */
#ifndef MR_MODEL_TUNING_H
#define MR_MODEL_TUNING_H

#include "model/params.h"

struct mr_tuning {
    /* Patterns of the names of the parameters that are trained, commas between them; * and ? as in a shell, and * goes
     * over dots too. NULL: all. */
    const char *train_only;
    /* An adapter: nothing of the model but what train_only names, and this. rank 0: none. */
    int rank;
    double alpha, dropout; /* of the adapter's input */
    bool state;            /* instead: the recurrences' first states (RWKV-7) */
    const char *targets;   /* names of linear layers, or their ends ("key", "att.key"), as patterns; NULL: all */
};

/* Whether what is learned stands beside the model. */
static inline bool mr_tuning_adapts(const struct mr_tuning *tuning)
{
    return tuning && (tuning->rank > 0 || tuning->state);
}

/* Marks what is frozen and declares the adapter. tuning NULL: nothing. MR_EINVAL: a pattern fits no name. */
int mr_tuning_apply(const struct mr_tuning *tuning, struct mr_params *params);

#endif
