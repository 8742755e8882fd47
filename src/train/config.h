/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a training run does: nanoGPT's keys and ours, from files of assignments and from the command line. */
#ifndef MR_TRAIN_CONFIG_H
#define MR_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/settings.h"
#include "comm/ranks.h"

struct mr_train_config {
    /* input and output */
    char *out_dir, *init_from, *dataset, *device, *tokenizer, *on_nan, *sampling, *comm;
    char *train_only;                    /* patterns of parameters' names; NULL: all are trained */
    char *adapter, *targets, *precision; /* NULL: none; every linear layer; as the file has its matrices */
    int rank;
    double alpha;
    int eval_interval, log_interval, eval_iters, checkpoint_interval; /* checkpoint_interval 0: eval_interval */
    int keep_checkpoints;
    bool eval_only, always_save_checkpoint, overwrite;
    /* data */
    int batch_size, block_size, gradient_accumulation_steps;
    bool recompute;
    uint64_t seed;
    /* optimizer */
    int zero, rank_timeout; /* of several ranks: 1 divides the moments among them; seconds that they wait */
    double learning_rate, min_lr, weight_decay, beta1, beta2, adam_eps, grad_clip, l2wrap;
    double epochs; /* 0: max_iters counts */
    int patience;  /* 0: none */
    int max_iters, warmup_iters, lr_decay_iters;
    bool decay_lr;
    mr_ranks *ranks; /* borrowed: the processes that train together; NULL: this one alone */
    /* The keys that were given and belong to the model (n_layer, family, mode, dropout, block_size, …), for
     * mr_config_set_all, so that what was not given can come from a checkpoint. */
    struct mr_settings model;
    /* Every key that was given, with its value: what a checkpoint remembers. */
    struct mr_settings given;
};

/* nanoGPT's defaults (its train.py), seed 1337. */
int mr_train_config_defaults(struct mr_train_config *cfg);
void mr_train_config_free(struct mr_train_config *cfg);
/* Ranges of the values, each for itself: MR_EINVAL names the key. */
int mr_train_config_check(const struct mr_train_config *cfg);

/* The keys that were not given take what the model's family is trained with. */
struct mr_config;
void mr_train_config_family(struct mr_train_config *cfg, const struct mr_config *model);

/* Reads a file of assignments (the grammar is in config.c). MR_EINVAL names file, line and what is wrong; an unknown
 * key names the nearest known one; ignored keys (wandb_*, compile, dtype, backend, ddp…) are logged, one line each. */
int mr_train_config_file(struct mr_train_config *cfg, const char *path);
/* One "key=value" or "--key=value" of the command line. */
int mr_train_config_assign(struct mr_train_config *cfg, const char *assignment);
/* Takes from `given` (as a checkpoint remembers it) the keys that were not given this time, but for out_dir, init_from,
 * device, eval_only and overwrite. */
int mr_train_config_recall(struct mr_train_config *cfg, const struct mr_settings *given);

/* A key as `train --help` shows it. */
struct mr_key_text {
    const char *name, *meaning;
    char value[40]; /* the default */
};

/* The i-th key: first those of the run, then those of the model that are not among them. 0: there are no more; 1: a key
 * of the run, 2: of the model. */
int mr_train_config_describe(int i, struct mr_key_text *text);

#endif
