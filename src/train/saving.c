/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/saving.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "formats/checkpoint.h"
#include "rt/host_memory.h"
#include "train/folder.h"
#include "train/tuned.h"

#define PIECE ((size_t)1 << 18)     /* floats on their way to the file, without a copy */
#define RESERVE ((size_t)256 << 20) /* bytes of host memory that a copy leaves to others */

static void free_listing(struct mr_listing *l)
{
    free(l->tensors);
    free(l->names);
    free(l->sources);
    *l = (struct mr_listing){0};
}

/* Of best.mrw alone only the weights; of an adapter's run only what is trained. */
static int list_tensors(const mr_trainer *t, bool whole, struct mr_listing *l)
{
    const struct mr_params *params = &t->model->params;
    size_t most = (size_t)params->count * (whole ? 3 : 1);
    l->tensors = mr_alloc(most, sizeof *l->tensors);
    l->names = mr_alloc(most, sizeof *l->names);
    l->sources = mr_alloc(most, sizeof *l->sources);
    if (!l->tensors || !l->names || !l->sources)
        return MR_ENOMEM;
    const char *formats[] = {"%s", "adamw.m.%s", "adamw.v.%s"};
    for (int kind = 0; kind < (whole ? 3 : 1); kind++) {
        for (int i = 0; i < params->count; i++) {
            const struct mr_param *p = params->list[i];
            if (p->frozen && (kind > 0 || mr_trainer_adapts(t)))
                continue;
            snprintf(l->names[l->count], sizeof l->names[0], formats[kind], p->name);
            l->sources[l->count] = (struct mr_source){kind ? NULL : &p->value, kind - 1, i, p->count};
            l->tensors[l->count] = (struct mr_file_tensor){
                .name = l->names[l->count], .dtype = MR_DTYPE_F32, .ndim = p->ndim, .shares = -1};
            for (int d = 0; d < p->ndim; d++)
                l->tensors[l->count].shape[d] = (int64_t)p->shape[d];
            l->count++;
        }
        l->weights = kind ? l->weights : l->count;
    }
    return 0;
}

/* Memory for the copy. 0: there is too little, which is said once. */
static int make_room(struct mr_saving *s, size_t elements)
{
    if (s->elements >= elements)
        return 1;
    free(s->copy);
    s->copy = NULL;
    s->elements = 0;
    size_t left = mr_host_memory(""), bytes = elements * sizeof *s->copy;
    if (left < RESERVE || left - RESERVE < bytes || !(s->copy = malloc(bytes))) {
        if (!s->told)
            mr_log(
                MR_LOG_WARNING,
                "saving in the background needs %.2f GiB of host memory, %.2f GiB are left: training pauses while it "
                "saves",
                (double)bytes / 0x1p30, (double)left / 0x1p30);
        s->told = true;
        return 0;
    }
    s->elements = elements;
    return 1;
}

/* A piece of a tensor. Moments may lie on other ranks: those that are not to write give what they hold of them. */
static int read_piece(mr_trainer *t, const struct mr_source *from, size_t at, size_t n, float *to)
{
    return from->value ? mr_read(t->rt, from->value, at, n, to)
                       : mr_trainer_moment(t, from->moment, from->index, at, n, to);
}

static size_t piece_at(const struct mr_source *from, size_t at)
{
    return from->count - at < PIECE ? from->count - at : PIECE;
}

static int copy_tensors(mr_trainer *t)
{
    struct mr_saving *s = &t->saving;
    size_t elements = 0;
    for (size_t i = 0; i < s->list.count; i++)
        elements += s->list.sources[i].count;
    if (!make_room(s, elements))
        return 0;
    float *to = s->copy;
    for (size_t i = 0; i < s->list.count; i++) {
        const struct mr_source *from = &s->list.sources[i];
        for (size_t at = 0, n; at < from->count; at += n, to += n) {
            n = piece_at(from, at);
            MR_TRY(read_piece(t, from, at, n, to));
        }
    }
    return 0;
}

/* On ranks other than 0. */
static int give_moments(mr_trainer *t)
{
    const struct mr_listing *l = &t->saving.list;
    float *buffer = mr_alloc(PIECE, sizeof *buffer);
    int err = buffer ? 0 : MR_ENOMEM;
    for (size_t i = l->weights; !err && i < l->count; i++)
        for (size_t at = 0; !err && at < l->sources[i].count; at += PIECE)
            err = read_piece(t, &l->sources[i], at, piece_at(&l->sources[i], at), buffer);
    free(buffer);
    return err;
}

/* The first `count` tensors, from the copy or from the device. */
static int write_tensors(mr_trainer *t, size_t count, mr_tensor_writer *writer)
{
    const struct mr_saving *s = &t->saving;
    float *buffer = s->copy ? NULL : mr_alloc(PIECE, sizeof *buffer);
    const float *from = s->copy;
    int err = s->copy || buffer ? 0 : MR_ENOMEM;
    for (size_t i = 0; !err && i < count; i++) {
        const struct mr_source *source = &s->list.sources[i];
        for (size_t at = 0, n; !err && at < source->count; at += n) {
            n = piece_at(source, at);
            if (!s->copy)
                err = read_piece(t, source, at, n, buffer);
            if (!err)
                err = mr_tensor_writer_append_f32(writer, s->copy ? from : buffer, n);
            from += s->copy ? n : 0;
        }
    }
    free(buffer);
    return err;
}

static int write_file(mr_trainer *t, bool best)
{
    char path[4096];
    struct mr_saving *s = &t->saving;
    struct mr_training state = s->state;
    struct mr_checkpoint about = {&t->model_cfg, &state, t->tokenizer, NULL};
    mr_tensor_writer *writer = NULL;
    size_t count = best ? s->list.weights : s->list.count;
    int err;
    state.weights_only = best;
    if ((size_t)snprintf(path, sizeof path, "%s/%s.mrw", t->cfg->out_dir, best ? "best" : "ckpt") >= sizeof path)
        return mr_fail(MR_EINVAL, "the path of out_dir is too long");
    MR_GO(mr_trainer_adapter_json(t, &about.adapter));
    MR_GO(mr_checkpoint_begin(&writer, path, s->list.tensors, count, &about));
    MR_GO(write_tensors(t, count, writer));
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    json_decref(about.adapter);
    return err || !best ? err : mr_trainer_write_adapter(t);
}

static int write_files(mr_trainer *t)
{
    int err = t->saving.best ? write_file(t, true) : 0;
    if (!err && t->saving.whole)
        err = write_file(t, false);
    return err;
}

static int not_saved(int err)
{
    return mr_fail_in(err, "the checkpoint was not saved; the previous one is intact");
}

/* The thread's lines wait for the run's own thread. */
static void keep_line(void *context, enum mr_log_level level, const char *line)
{
    (void)level;
    (void)!mr_str_append(context, line, strlen(line) + 1); /* without memory a warning is lost */
}

static void *work(void *context)
{
    mr_trainer *t = context;
    struct mr_saving *s = &t->saving;
    const struct mr_log_sink sink = {keep_line, &s->lines};
    mr_log_divert(&sink);
    s->error = write_files(t);
    snprintf(s->text, sizeof s->text, "%s", s->error ? mr_error_text() : "");
    mr_log_divert(NULL);
    atomic_store(&s->done, true);
    return NULL;
}

/* Signals are for the run's own thread. Where no thread can be had, the writing is done here. */
static int start(mr_trainer *t)
{
    struct mr_saving *s = &t->saving;
    sigset_t all, before;
    sigfillset(&all);
    atomic_store(&s->done, false);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = s->copy && !pthread_create(&s->thread, NULL, work, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running ? 0 : write_files(t);
}

/* What follows a save that succeeded. */
static void saved(mr_trainer *t)
{
    struct mr_saving *s = &t->saving;
    if (!s->whole)
        return;
    if (s->state.iter > t->saved)
        t->rolled_back = 0;
    t->saved = s->state.iter;
    if (t->rank == 0 && mr_run_folder_keep(t->cfg, t->saved) < 0)
        mr_log(MR_LOG_WARNING, "%s", mr_error_text());
    if (t->events && t->events->saved)
        t->events->saved(t->events->context, t->cfg->out_dir, t->saved);
}

int mr_trainer_save(mr_trainer *t, bool best, bool whole)
{
    struct mr_saving *s = &t->saving;
    int err;
    MR_TRY(mr_trainer_saved(t, true));
    if (t->rank == 0)
        MR_TRY(mr_make_folder(t->cfg->out_dir, 0777));
    s->best = best;
    s->whole = whole;
    s->state = mr_trainer_state(t);
    MR_GO(list_tensors(t, whole, &s->list));
    MR_GO(t->rank ? give_moments(t) : copy_tensors(t));
    MR_GO(t->rank ? 0 : start(t));
    if (s->running)
        return 0;
    saved(t);
fail:
    free_listing(&s->list);
    return err ? not_saved(err) : 0;
}

int mr_trainer_saved(mr_trainer *t, bool wait)
{
    struct mr_saving *s = &t->saving;
    if (!s->running || (!wait && !atomic_load(&s->done)))
        return 0;
    pthread_join(s->thread, NULL);
    s->running = false;
    free_listing(&s->list);
    for (const char *line = s->lines.text; line && line < s->lines.text + s->lines.size; line += strlen(line) + 1)
        mr_log(MR_LOG_WARNING, "%s", line);
    mr_str_free(&s->lines);
    if (s->error)
        return not_saved(mr_fail(s->error, "%s", s->text));
    saved(t);
    return 0;
}

void mr_trainer_saving_close(mr_trainer *t)
{
    if (t->saving.running)
        pthread_join(t->saving.thread, NULL);
    free_listing(&t->saving.list);
    mr_str_free(&t->saving.lines);
    free(t->saving.copy);
}
