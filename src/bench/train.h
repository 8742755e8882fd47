/* SPDX-License-Identifier: GPL-3.0-or-later
 * How long a training step takes: the trainer's own iterations, on random tokens. */
#ifndef MR_BENCH_TRAIN_H
#define MR_BENCH_TRAIN_H

#include <jansson.h>
#include <signal.h>

#include "rt/rt.h"
#include "train/config.h"

struct mr_train_bench {
    struct mr_train_config *cfg; /* dataset is set */
    const char *label, *command;
    int64_t steps;
    const volatile sig_atomic_t *stop; /* not 0: what was measured is summed up */
};

/* Sets the keys of a model known by name, as if they had been given. */
int mr_train_bench_model(struct mr_train_config *cfg, const char *name);

/* One line of results; the first step, which finds kernels, is not counted. */
int mr_train_measure(mr_runtime *rt, const struct mr_train_bench *b, int (*put)(void *to, json_t *line), void *to);

#endif
