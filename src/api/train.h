/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the command line needs of training beyond the public interface. */
#ifndef MR_API_TRAIN_H
#define MR_API_TRAIN_H

#include "train/config.h"

/* The words of `train`: a file of settings may come first, then key=value. */
int mr_train_settings(struct mr_train_config *cfg, const char *const *words, int count);

#endif
