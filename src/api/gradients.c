/* SPDX-License-Identifier: GPL-3.0-or-later
 * Loss, logits and gradients of a batch. */
#include <stdio.h>
#include <stdlib.h>

#include "api/batch.h"
#include "api/logits.h"
#include "base/error.h"
#include "base/alloc.h"
#include "base/options.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "io/safetensors.h"
#include "model/workspace.h"

void mr_batch_free(struct mr_batch *b)
{
    free(b->tokens);
    free(b->targets);
    *b = (struct mr_batch){0};
}

int mr_batch_read(const char *path, struct mr_batch *b)
{
    mr_tensor_file *file = NULL;
    const char *names[] = {"tokens", "targets"};
    int32_t **into[] = {&b->tokens, &b->targets};
    int err;
    *b = (struct mr_batch){0};
    MR_TRY(mr_safetensors_open(&file, path));
    for (int i = 0; i < 2; i++) {
        int64_t at = mr_tensor_file_find(file, names[i]);
        const struct mr_file_tensor *t = at < 0 ? NULL : &file->tensors[at];
        if (!t || t->ndim != 2 || t->shape[0] < 1 || t->shape[1] < 1 || t->shape[0] > 1 << 20 ||
            t->shape[1] > 1 << 20) {
            err = mr_fail(MR_EFILE, "%s: needs an integer tensor '%s' of shape (B,T)", path, names[i]);
            goto fail;
        }
        if (i && (t->shape[0] != b->rows || t->shape[1] != b->time)) {
            err = mr_fail(MR_EFILE, "%s: tokens and targets have different shapes", path);
            goto fail;
        }
        b->rows = (int)t->shape[0];
        b->time = (int)t->shape[1];
        err = MR_ENOMEM;
        if (!(*into[i] = mr_alloc((size_t)b->rows * (size_t)b->time, sizeof **into[i])))
            goto fail;
        MR_GO(mr_tensor_file_read_i32(file, (size_t)at, 0, (size_t)b->rows * (size_t)b->time, *into[i]));
    }
fail:
    mr_tensor_file_close(file);
    if (err)
        mr_batch_free(b);
    return err;
}

/* Writes loss, logits and the gradient of every parameter. */
static int write_gradients(const struct mr_param_set *gradients, const struct mr_batch *b, float loss,
                           const float *logits, const char *path)
{
    enum { PIECE = 1 << 18 };
    const mr_model *model = gradients->model;
    int count = model->params.count, err = MR_ENOMEM;
    mr_tensor_writer *writer = NULL;
    struct mr_file_tensor *list = mr_alloc((size_t)count + 2, sizeof *list);
    char(*names)[MR_NAME + 8] = mr_alloc((size_t)count, sizeof *names);
    float *buffer = mr_alloc(PIECE, sizeof *buffer);
    if (!list || !names || !buffer)
        goto fail;
    list[0] = (struct mr_file_tensor){.name = "loss", .dtype = MR_DTYPE_F32, .ndim = 1, .shape = {1}, .shares = -1};
    list[1] = (struct mr_file_tensor){.name = "logits",
                                      .dtype = MR_DTYPE_F32,
                                      .ndim = 3,
                                      .shares = -1,
                                      .shape = {b->rows, b->time, model->cfg.vocab_size}};
    for (int i = 0; i < count; i++) {
        const struct mr_param *p = model->params.list[i];
        snprintf(names[i], sizeof names[i], "grad.%s", p->name);
        list[i + 2] = (struct mr_file_tensor){.name = names[i], .dtype = MR_DTYPE_F32, .ndim = p->ndim, .shares = -1};
        for (int d = 0; d < p->ndim; d++)
            list[i + 2].shape[d] = (int64_t)p->shape[d];
    }
    MR_GO(mr_safetensors_begin(&writer, path, list, (size_t)count + 2, NULL));
    MR_GO(mr_tensor_writer_append_f32(writer, &loss, 1));
    MR_GO(
        mr_tensor_writer_append_f32(writer, logits, (size_t)b->rows * (size_t)b->time * (size_t)model->cfg.vocab_size));
    for (int i = 0; i < count; i++) {
        const struct mr_param *p = model->params.list[i];
        for (size_t at = 0; at < p->count; at += PIECE) {
            size_t n = p->count - at < PIECE ? p->count - at : PIECE;
            MR_GO(mr_read(model->rt, &gradients->list[i], at, n, buffer));
            MR_GO(mr_tensor_writer_append_f32(writer, buffer, n));
        }
    }
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    free(buffer);
    free(names);
    free(list);
    return err;
}

int mr_gradients_run(mr_runtime *rt, const char *path, const struct mr_batch *b, const char *out,
                     const char *const *config)
{
    mr_model *model = NULL;
    mr_workspace *ws = NULL;
    struct mr_param_set gradients = {0};
    struct mr_piece *pieces = NULL;
    struct mr_settings overrides = {0};
    float *logits = NULL, cross_entropy, aux;
    int err;
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(rt));
    MR_GO(mr_config_words(config, &overrides));
    MR_GO(mr_model_open(&model, rt, path, &overrides, MR_F32, NULL));
    MR_GO(mr_check_positions(&model->cfg, b->tokens, b->time));
    model->cfg.dropout = 0;
    MR_GO(mr_model_check_trainable(&model->cfg));
    MR_GO(mr_param_set_create(&gradients, model, MR_GRADIENTS, false));
    const struct mr_workspace_options options = {
        .batch = b->rows, .time = b->time, .training = true, .gradients = &gradients};
    MR_GO(mr_workspace_create(&ws, model, &options));
    err = MR_ENOMEM;
    size_t rows = (size_t)b->rows * (size_t)b->time;
    if (!(logits = mr_alloc(rows, (size_t)model->cfg.vocab_size * sizeof *logits)) ||
        !(pieces = mr_alloc((size_t)b->rows, sizeof *pieces)))
        goto fail;
    for (int i = 0; i < b->rows; i++)
        pieces[i] = (struct mr_piece){-1, b->tokens + (size_t)i * (size_t)b->time, b->time, MR_LOGITS_NONE};
    mr_workspace_set_training(ws, true, 1, 0, 0);
    MR_GO(mr_run(ws, NULL, pieces, b->rows));
    MR_GO(mr_loss(ws, b->targets, logits));
    MR_GO(mr_backward(ws));
    MR_GO(mr_read_loss(ws, &cross_entropy, &aux));
    MR_GO(write_gradients(&gradients, b, cross_entropy + aux, logits, out));
fail:
    free(logits);
    free(pieces);
    mr_workspace_free(ws);
    mr_param_set_free(&gradients);
    mr_model_free(model);
    mr_settings_free(&overrides);
    mr_log_divert(before);
    return err;
}
