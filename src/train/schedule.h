/* SPDX-License-Identifier: GPL-3.0-or-later
 * The learning rate over the iterations. */
#ifndef MR_TRAIN_SCHEDULE_H
#define MR_TRAIN_SCHEDULE_H

#include "train/config.h"

/* The rate of iteration `iter` (from 0), nanoGPT's formula: linear from learning_rate/(warmup_iters+1), cosine
 * down to min_lr at lr_decay_iters, min_lr after; learning_rate throughout where decay_lr is off. */
double mr_learning_rate(const struct mr_train_config *cfg, int64_t iter);

#endif
