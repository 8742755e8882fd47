/* SPDX-License-Identifier: GPL-3.0-or-later
 * Runs that train a part of a model: what the configuration says of it, and the files of an adapter. */
#ifndef MR_TRAIN_TUNED_H
#define MR_TRAIN_TUNED_H

#include "train/trainer.h"

/* t->tuning from the configuration. MR_EINVAL: keys that contradict each other. */
int mr_trainer_tuning(mr_trainer *t);
/* Whether what is saved is an adapter, beside a model that stays as it is. */
bool mr_trainer_adapts(const mr_trainer *t);
/* What is trained, and its moments, from a checkpoint of such a run. MR_EFILE: it holds another adapter. */
int mr_trainer_read_adapter(mr_trainer *t, const char *path);
/* What a checkpoint says of the adapter, as an adapter_config.json does; *json NULL: there is none. */
int mr_trainer_adapter_json(const mr_trainer *t, json_t **json);
/* best.mrw once more, as adapter_model.safetensors and adapter_config.json in out_dir, or a state as state.pth. */
int mr_trainer_write_adapter(const mr_trainer *t);

#endif
