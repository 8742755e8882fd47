/* SPDX-License-Identifier: GPL-3.0-or-later
 * The folder of a run, out_dir: one run at a time, and never one over another. */
#ifndef MR_TRAIN_FOLDER_H
#define MR_TRAIN_FOLDER_H

#include <stdbool.h>

#include "train/config.h"
#include "train/lock.h"

struct mr_run_folder {
    const struct mr_train_config *cfg;
    struct mr_lock lock;
    bool made;      /* it was not there before */
    bool continues; /* this run goes on from the folder's own ckpt.mrw */
};

/* Makes and locks out_dir. MR_EFILE: another process trains there; or it holds a run, and this is a new one without
 * overwrite=True; or something in it stands in the way of what will be written. With eval_only nothing is touched. */
int mr_run_folder_open(struct mr_run_folder *f, const struct mr_train_config *cfg);
/* Right before the first line of the log: moves a run that overwrite=True gives up to OUT_DIR.old, the whole folder. */
int mr_run_folder_begin(struct mr_run_folder *f);
/* Unlocks; removes the folder again where it was made and nothing was written. {0} is fine. */
void mr_run_folder_close(struct mr_run_folder *f);

/* After ckpt.mrw was saved: keeps it as ckpt-ITER.mrw too, and of those the newest keep_checkpoints. */
int mr_run_folder_keep(const struct mr_train_config *cfg, int64_t iter);

#endif
