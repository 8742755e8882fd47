/* SPDX-License-Identifier: GPL-3.0-or-later
 * on_nan: how a run goes on after a loss that is not a number. */
#include <stdio.h>
#include <string.h>

#include "formats/load.h"
#include "train/tuned.h"

enum { MOST_SKIPS = 10, MOST_ROLLBACKS = 3 };

int mr_trainer_skip(mr_trainer *t, int err)
{
    if (strcmp(t->cfg->on_nan, "skip") != 0)
        return err;
    if (++t->skipped > MOST_SKIPS)
        return mr_fail_in(err, "the updates of %d iterations in a row were skipped", MOST_SKIPS);
    mr_log(MR_LOG_WARNING, "%s", mr_error_text());
    mr_log(MR_LOG_WARNING, "on_nan=skip: skipping the update of iteration %lld", (long long)t->iter);
    t->micro_step += (uint64_t)t->cfg->gradient_accumulation_steps; /* other batches next time */
    return 0;
}

/* Weights, moments and counts as ckpt.mrw holds them; the draws go on, so that other batches come. */
static int reload(mr_trainer *t)
{
    char path[4096];
    struct mr_training state = {0};
    bool found;
    double best = t->best_val_loss;
    int64_t best_iter = t->best_iter;
    uint64_t draws = t->micro_step + (uint64_t)t->cfg->gradient_accumulation_steps;
    snprintf(path, sizeof path, "%s/ckpt.mrw", t->cfg->out_dir);
    bool adapts = mr_trainer_adapts(t);
    int err = adapts ? mr_trainer_read_adapter(t, path) : mr_model_reload(t->model, path);
    if (!err && !adapts)
        err = mr_trainer_read_moments(t, path, NULL);
    if (!err)
        err = mr_model_read_training(path, &state, &found);
    if (!err)
        err = mr_trainer_resume(t, &state);
    mr_training_free(&state);
    t->best_val_loss = best;
    t->best_iter = best_iter;
    t->micro_step = draws;
    t->proven = t->iter;
    if (!err && t->log) {
        fclose(t->log);
        t->log = NULL;
        err = mr_trainer_log_open(t);
    }
    return err;
}

int mr_trainer_rollback(mr_trainer *t, int err)
{
    long long failed = t->iter;
    if (strcmp(t->cfg->on_nan, "rollback") != 0 || t->saved < 0)
        return err;
    if (++t->rolled_back > MOST_ROLLBACKS)
        return mr_fail_in(err, "after %d rollbacks to iteration %lld", MOST_ROLLBACKS, (long long)t->saved);
    mr_log(MR_LOG_WARNING, "%s", mr_error_text());
    MR_TRY(mr_trainer_gather(t, 0)); /* rank 0 has written it */
    MR_TRY(reload(t));
    mr_log(MR_LOG_WARNING, "on_nan=rollback: back to iteration %lld, with other batches", (long long)t->iter);
    return mr_trainer_log(t, json_pack("{sI sI}", "iter", (json_int_t)t->iter, "rollback_from", (json_int_t)failed));
}
