/* SPDX-License-Identifier: GPL-3.0-or-later
 * What `train` adds to the public interface: the keys and their meanings, a run's settings as a struct, all that a run
 * reports, the picture of its loss. */
#ifndef MR_API_TRAIN_H
#define MR_API_TRAIN_H

#include "train/plot.h"
#include "train/run.h"

/* The words of `train`: a file of settings may come first, then key=value. */
int mr_train_settings(struct mr_train_config *cfg, const char *const *words, int count);

#endif
