/* SPDX-License-Identifier: GPL-3.0-or-later
 * Checkpoints and the log of a run: what a resume needs to go on bit for bit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "rt/gemm_table.h"
#include "train/tuned.h"

static void gemm_table(const mr_trainer *t, char table[24])
{
    snprintf(table, 24, "%016llx", (unsigned long long)mr_gemm_table_hash(t->rt));
}

struct mr_training mr_trainer_state(const mr_trainer *t)
{
    struct mr_training state = {.iter = t->iter,
                                .micro_step = t->micro_step,
                                .optimizer_steps = t->optimizer_steps,
                                .seed = t->seed,
                                .best_val_loss = t->best_val_loss,
                                .best_iter = t->best_iter,
                                .base = t->base,
                                .ranks = t->ranks,
                                .given = t->cfg->given};
    gemm_table(t, state.gemm_table);
    return state;
}

int mr_trainer_resume(mr_trainer *t, const struct mr_training *state)
{
    char table[24];
    if (state->weights_only)
        return mr_fail(MR_EFILE, "it holds weights only, no optimizer state: resume from ckpt.mrw");
    t->iter = state->iter;
    t->micro_step = state->micro_step;
    t->optimizer_steps = state->optimizer_steps;
    t->seed = state->seed;
    t->best_val_loss = state->best_val_loss;
    t->best_iter = state->best_iter;
    if (state->ranks != t->ranks && t->rank == 0)
        mr_log(
            MR_LOG_INFO,
            "the run was saved by %lld rank%s and goes on with %d: the batches are the same, but gradients are added "
            "in another order, so that results are not the same to the last bit",
            (long long)state->ranks, state->ranks == 1 ? "" : "s", t->ranks);
    gemm_table(t, table);
    if (*state->gemm_table && strcmp(state->gemm_table, table) != 0)
        mr_log(MR_LOG_WARNING,
               "the run was saved with a different GEMM table or device: results may differ in the last bits");
    return 0;
}

/* ---- log.jsonl ---------------------------------------------------------------------------------------------- */

/* Appends to `kept` the lines of the old log that lie before iteration `iter`. */
static int keep_lines(const struct mr_str *old, int64_t iter, struct mr_str *kept)
{
    for (size_t at = 0; at < old->size;) {
        const char *end = memchr(old->text + at, '\n', old->size - at);
        if (!end)
            return 0; /* a line that a kill cut short */
        size_t size = (size_t)(end - (old->text + at)) + 1;
        json_t *line = json_loadb(old->text + at, size, 0, NULL);
        bool before = line && json_integer_value(json_object_get(line, "iter")) < iter;
        json_decref(line);
        if (before)
            MR_TRY(mr_str_append(kept, old->text + at, size));
        at += size;
    }
    return 0;
}

int mr_trainer_log_open(mr_trainer *t)
{
    char path[4096];
    struct mr_str old = {0}, kept = {0};
    int err = 0;
    MR_TRY(mr_make_folder(t->cfg->out_dir, 0777));
    if ((size_t)snprintf(path, sizeof path, "%s/log.jsonl", t->cfg->out_dir) >= sizeof path)
        return mr_fail(MR_EINVAL, "the path of out_dir is too long");
    if (t->iter > 0 && mr_is_file(path)) {
        MR_GO(mr_file_read(path, (size_t)1 << 32, &old));
        MR_GO(keep_lines(&old, t->iter, &kept));
    }
    MR_GO(mr_file_write(path, kept.text ? kept.text : "", kept.size));
    if (!(t->log = fopen(path, "a")))
        err = mr_fail(MR_EFILE, "cannot write %s: %s", path, strerror(errno));
fail:
    mr_str_free(&old);
    mr_str_free(&kept);
    return err;
}

int mr_trainer_log(mr_trainer *t, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    if (!text)
        return mr_fail(MR_ENOMEM, "out of memory for a log line");
    bool failed = t->log && (fprintf(t->log, "%s\n", text) < 0 || fflush(t->log) != 0);
    free(text);
    return failed ? mr_fail(MR_EFILE, "cannot write %s/log.jsonl: %s", t->cfg->out_dir, strerror(errno)) : 0;
}
