/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/tensor_source.h"
#include "model/names.h"

#define PIECE ((size_t)1 << 18) /* floats read from the file at a time */

void mr_model_file_free(struct mr_model_file *file)
{
    json_decref(file->tokenizer);
    json_decref(file->training);
    json_decref(file->metadata);
    *file = (struct mr_model_file){0};
}

/* A folder that training wrote stands for its best.mrw, else its ckpt.mrw. */
static int resolve(const char *path, char *file, size_t size)
{
    const char *names[] = {"best.mrw", "ckpt.mrw"};
    for (int i = 0; mr_is_folder(path) && i < 2; i++) {
        if ((size_t)snprintf(file, size, "%s/%s", path, names[i]) >= size)
            return mr_fail(MR_EINVAL, "the path %s is too long", path);
        if (mr_is_file(file))
            return 0;
    }
    if ((size_t)snprintf(file, size, "%s", path) >= size)
        return mr_fail(MR_EINVAL, "the path %s is too long", path);
    return 0;
}

int mr_model_open_source(mr_tensor_file **source, const char *path)
{
    char file[4096];
    MR_TRY(resolve(path, file, sizeof file));
    return mr_tensor_source_open(source, file);
}

static int keep(struct mr_model_file *file, const mr_tensor_file *source)
{
    if (!file)
        return 0;
    file->metadata = json_incref(source->metadata);
    file->tokenizer = json_incref(json_object_get(source->metadata, "tokenizer"));
    file->training = json_incref(json_object_get(source->metadata, "training"));
    return 0;
}

static int config_of(mr_tensor_file *source, const char *path, const json_t *overrides, struct mr_config *cfg)
{
    int err = mr_recognise(source, overrides, cfg);
    if (!err && overrides)
        err = mr_config_set_all(cfg, overrides);
    if (!err)
        err = mr_config_check(cfg);
    return err ? mr_fail_in(err, "%s", path) : 0;
}

int mr_model_read_config(const char *path, const json_t *overrides, struct mr_config *cfg, struct mr_model_file *file)
{
    mr_tensor_file *source = NULL;
    MR_TRY(mr_model_open_source(&source, path));
    int err = config_of(source, path, overrides, cfg);
    if (!err)
        err = keep(file, source);
    mr_tensor_file_close(source);
    return err;
}

/* ---- reading parameters ------------------------------------------------------------------------------------- */

static int check_shape(const struct mr_param *p, const struct mr_file_tensor *t)
{
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    /* Dimensions of 1 may come and go: (1,1,C), (C). */
    int64_t want[4], have[MR_MOST_DIMS];
    int wants = 0, haves = 0;
    for (int i = 0; i < p->ndim; i++)
        if (p->shape[i] != 1)
            want[wants++] = (int64_t)p->shape[i];
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] != 1)
            have[haves++] = t->shape[i];
    if (wants == haves && memcmp(want, have, (size_t)wants * sizeof *want) == 0)
        return 0;
    char text[160] = "";
    for (int i = 0; i < t->ndim; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", i ? "," : "", (long long)t->shape[i]);
    return mr_fail(MR_EFILE, "the tensor %s has the shape (%s), which does not fit the configuration: %zu numbers are wanted", t->name,
                   text, p->count);
}

static int read_tensor(mr_runtime *rt, mr_tensor_file *source, size_t i, const mr_tensor *to, float *room)
{
    for (size_t at = 0; at < to->count; at += PIECE) {
        size_t n = to->count - at < PIECE ? to->count - at : PIECE;
        MR_TRY(mr_tensor_file_read_f32(source, i, at, n, room));
        MR_TRY(mr_write(rt, to, at, n, room));
    }
    return 0;
}

/* Lists up to a few of the parameters that the file lacks. */
static int missing(mr_tensor_file *source, const struct mr_params *params, const struct mr_config *cfg)
{
    char list[400] = "";
    int count = 0;
    for (int i = 0; i < params->count; i++) {
        if (mr_find_parameter(source, cfg, params->list[i]->name) >= 0)
            continue;
        if (count++ < 4)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", count > 1 ? ", " : "", params->list[i]->name);
    }
    return count ? mr_fail(MR_EFILE, "%d tensors of a %s model are missing: %s%s", count, mr_family_name(cfg->family), list,
                           count > 4 ? ", …" : "")
                 : 0;
}

static int read_parameters(mr_model *model, mr_tensor_file *source)
{
    int err = missing(source, &model->params, &model->cfg);
    float *room = err ? NULL : mr_alloc(PIECE, sizeof *room);
    if (!err && !room)
        err = MR_ENOMEM;
    for (int i = 0; !err && i < model->params.count; i++) {
        struct mr_param *p = model->params.list[i];
        size_t at = (size_t)mr_find_parameter(source, &model->cfg, p->name);
        err = check_shape(p, &source->tensors[at]);
        if (!err)
            err = read_tensor(model->rt, source, at, &p->value, room);
        for (int moment = 0; !err && model->trains && moment < 2; moment++) {
            char name[MR_NAME + 16];
            snprintf(name, sizeof name, "adamw.%c.%s", "mv"[moment], p->name);
            int64_t found = mr_tensor_file_find(source, name);
            if (found >= 0 && !(err = check_shape(p, &source->tensors[found])))
                err = read_tensor(model->rt, source, (size_t)found, moment ? &p->v : &p->m, room);
        }
    }
    free(room);
    return err;
}

int mr_model_open(mr_model **out, mr_runtime *rt, const char *path, const json_t *overrides, bool trains, struct mr_model_file *file)
{
    mr_tensor_file *source = NULL;
    mr_model *model = NULL;
    struct mr_config cfg;
    int err;
    MR_TRY(mr_model_open_source(&source, path));
    MR_GO(config_of(source, path, overrides, &cfg));
    MR_GO(mr_model_create(&model, rt, &cfg, trains, false));
    if ((err = read_parameters(model, source)) < 0) {
        err = mr_fail_in(err, "%s", path);
        goto fail;
    }
    MR_GO(keep(file, source));
    mr_tensor_file_close(source);
    *out = model;
    return 0;
fail:
    mr_model_free(model);
    mr_tensor_file_close(source);
    return err;
}
