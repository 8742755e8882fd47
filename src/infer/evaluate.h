/* SPDX-License-Identifier: GPL-3.0-or-later
 * The loss of a model over prepared data. */
#ifndef MR_INFER_EVALUATE_H
#define MR_INFER_EVALUATE_H

#include <signal.h>

#include "model/workspace.h"
#include "data/token_file.h"

struct mr_evaluation {
    int split;     /* MR_SPLIT_TRAIN, MR_SPLIT_VAL */
    int block;     /* positions of a window */
    int batch;     /* windows at a time */
    int64_t iters; /* 0: all of the split, window behind window; else so many batches of windows drawn at random */
    uint64_t seed; /* of those draws */
    bool stream;   /* all of the split as one text, the state carried from window to window (batch 1) */
    /* Told after every batch; may be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t all);
    void *context;
    const volatile sig_atomic_t *stop; /* may be NULL */
};

struct mr_evaluated {
    double loss;          /* mean cross-entropy in nats */
    uint64_t tokens;      /* predicted */
    double bits_per_byte; /* negative: not known */
};

/* Every token but the first of a window (of the text, with stream) is predicted once. */
int mr_evaluate(mr_model *model, mr_token_data *data, const struct mr_evaluation *how, struct mr_evaluated *result);

#endif
