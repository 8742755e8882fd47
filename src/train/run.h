/* SPDX-License-Identifier: GPL-3.0-or-later
 * A training run from outside: what it reports, and the call. */
#ifndef MR_TRAIN_RUN_H
#define MR_TRAIN_RUN_H

#include <signal.h>

#include "model/config.h"
#include "rt/rt.h"
#include "train/config.h"

/* What happens in a run; each may be NULL. */
struct mr_train_events {
    void *context;
    /* Before the first iteration: how many parameters the model has and how many of them are trained; iter is not 0
     * where a run continues. */
    void (*start)(void *context, const struct mr_config *model, size_t parameters, size_t trained, int64_t iter);
    void (*iteration)(void *context, int64_t iter, float loss, double lr, float grad_norm, double ms,
                      double tokens_per_s, double seconds_left);
    void (*evaluation)(void *context, int64_t iter, double train_loss, double val_loss, bool best);
    /* While an evaluation runs: batches done of all. */
    void (*evaluating)(void *context, int done, int all);
    void (*saved)(void *context, const char *path, int64_t iter);
    /* After every iteration, logged or not. */
    void (*iterated)(void *context);
};

/* Runs to max_iters, or until *stop is not 0: the iteration under way is finished, the state saved, and
 * MR_EINTERRUPTED returned. MR_ENUMERIC: a loss that is not a number, with the iteration and the first bad tensor. */
int mr_train(mr_runtime *rt, struct mr_train_config *cfg, const struct mr_train_events *events,
             const volatile sig_atomic_t *stop);

#endif
