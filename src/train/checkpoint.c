/* SPDX-License-Identifier: GPL-3.0-or-later
 * Checkpoints and the log of a run: what a resume needs to go on bit for bit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "rt/gemm_table.h"
#include "train/trainer.h"

#define PIECE ((size_t)1 << 18) /* floats on their way to the file */

static void gemm_table(const mr_trainer *t, char table[24])
{
    snprintf(table, 24, "%016llx", (unsigned long long)mr_gemm_table_hash(t->rt));
}

/* `given` is borrowed. */
static struct mr_training state_of(const mr_trainer *t, bool best)
{
    struct mr_training state = {.iter = t->iter,
                                .micro_step = t->micro_step,
                                .optimizer_steps = t->optimizer_steps,
                                .seed = t->seed,
                                .best_val_loss = t->best_val_loss,
                                .given = t->cfg->given,
                                .weights_only = best};
    gemm_table(t, state.gemm_table);
    return state;
}

/* The tensors of a checkpoint: the weights by name; for ckpt.mrw then adamw.m.NAME and adamw.v.NAME of each. */
struct listing {
    struct mr_file_tensor *tensors;
    char (*names)[MR_NAME + 16];
    const mr_tensor **sources;
    size_t count;
};

static void free_listing(struct listing *l)
{
    free(l->tensors);
    free(l->names);
    free(l->sources);
}

static int list_tensors(const mr_trainer *t, bool best, struct listing *l)
{
    const struct mr_params *params = &t->model->params;
    size_t most = (size_t)params->count * (best ? 1 : 3);
    l->tensors = mr_alloc(most, sizeof *l->tensors);
    l->names = mr_alloc(most, sizeof *l->names);
    l->sources = mr_alloc(most, sizeof *l->sources);
    if (!l->tensors || !l->names || !l->sources)
        return MR_ENOMEM;
    const char *formats[] = {"%s", "adamw.m.%s", "adamw.v.%s"};
    for (int kind = 0; kind < (best ? 1 : 3); kind++) {
        for (int i = 0; i < params->count; i++, l->count++) {
            const struct mr_param *p = params->list[i];
            snprintf(l->names[l->count], sizeof l->names[0], formats[kind], p->name);
            l->sources[l->count] = kind == 0 ? &p->value : &t->moments[kind - 1].list[i];
            l->tensors[l->count] = (struct mr_file_tensor){
                .name = l->names[l->count], .dtype = MR_DTYPE_F32, .ndim = p->ndim, .shares = -1};
            for (int d = 0; d < p->ndim; d++)
                l->tensors[l->count].shape[d] = (int64_t)p->shape[d];
        }
    }
    return 0;
}

static int write_tensors(mr_trainer *t, const struct listing *l, mr_tensor_writer *writer)
{
    float *buffer = mr_alloc(PIECE, sizeof *buffer);
    int err = buffer ? 0 : MR_ENOMEM;
    for (size_t i = 0; !err && i < l->count; i++) {
        for (size_t at = 0; !err && at < l->sources[i]->count; at += PIECE) {
            size_t n = l->sources[i]->count - at < PIECE ? l->sources[i]->count - at : PIECE;
            err = mr_read(t->rt, l->sources[i], at, n, buffer);
            if (!err)
                err = mr_tensor_writer_append_f32(writer, buffer, n);
        }
    }
    free(buffer);
    return err;
}

int mr_trainer_save(mr_trainer *t, bool best)
{
    char path[4096];
    struct listing list = {0};
    mr_tensor_writer *writer = NULL;
    const struct mr_training state = state_of(t, best);
    const struct mr_checkpoint about = {&t->model_cfg, &state, t->tokenizer};
    int err;
    MR_TRY(mr_make_folder(t->cfg->out_dir, 0777));
    if ((size_t)snprintf(path, sizeof path, "%s/%s.mrw", t->cfg->out_dir, best ? "best" : "ckpt") >= sizeof path)
        return mr_fail(MR_EINVAL, "the path of out_dir is too long");
    MR_GO(list_tensors(t, best, &list));
    MR_GO(mr_checkpoint_begin(&writer, path, list.tensors, list.count, &about));
    MR_GO(write_tensors(t, &list, writer));
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    free_listing(&list);
    return err ? mr_fail_in(err, "the checkpoint was not saved; the previous one is intact") : 0;
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
