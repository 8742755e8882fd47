/* SPDX-License-Identifier: GPL-3.0-or-later
 * The table of a training run's own keys: what config.c parses and `train --help` prints. The model's keys are in
 * model/config.h. */
#ifndef MR_TRAIN_KEYS_H
#define MR_TRAIN_KEYS_H

#include "train/config.h"

struct mr_train_key {
    const char *name;
    enum { MR_KEY_TEXT, MR_KEY_INT, MR_KEY_BOOL, MR_KEY_SEED, MR_KEY_REAL } kind;
    size_t offset; /* in struct mr_train_config */
    const char *meaning;
};

/* The key of that name, or NULL. */
const struct mr_train_key *mr_train_key_find(const char *name);
/* The i-th one, or NULL. */
const struct mr_train_key *mr_train_key(int i);

/* Sets the field; MR_EINVAL names the key and what it takes. A seed above 2^63 comes as a string of digits. */
int mr_train_key_set(struct mr_train_config *cfg, const struct mr_train_key *key, const struct mr_value *value);
/* The present value, which the caller frees. */
int mr_train_key_value(const struct mr_train_config *cfg, const struct mr_train_key *key, struct mr_value *value);

#endif
