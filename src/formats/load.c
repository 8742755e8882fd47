/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/load.h"

#include <stdio.h>
#include <string.h>

#include "io/tensor_source.h"
#include "formats/adapter.h"
#include "formats/gguf.h"
#include "formats/initial_state.h"
#include "formats/names.h"
#include "formats/recipe.h"
#include "formats/upload.h"

/* A folder that training wrote stands for its best.mrw, else its ckpt.mrw (or nanoGPT's ckpt.pt). */
static int resolve(const char *path, char *file, size_t size)
{
    const char *names[] = {"best.mrw", "ckpt.mrw", "ckpt.pt"};
    for (int i = 0; mr_is_folder(path) && i < 3; i++) {
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

int mr_model_tokenizer(const mr_tensor_file *source, mr_stored_tokenizer **tokenizer)
{
    json_t *value = json_object_get(source->metadata, "tokenizer"), *parsed = NULL;
    const char *text = json_string_value(value); /* as safetensors have it */
    *tokenizer = NULL;
    if (mr_is_gguf(source))
        MR_TRY(mr_gguf_tokenizer(source->metadata, &parsed));
    else if (text)
        MR_TRY(mr_json_parse(&parsed, text, strlen(text), "its tokenizer"));
    int err = parsed || json_is_object(value) ? mr_stored_tokenizer_from_json(tokenizer, parsed ? parsed : value) : 0;
    json_decref(parsed);
    return err;
}

int mr_model_read_training(const char *path, struct mr_training *training, bool *found)
{
    mr_tensor_file *source;
    MR_TRY(mr_model_open_source(&source, path));
    int err = mr_training_read(source, training, found);
    mr_tensor_file_close(source);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}

static int config_of(mr_tensor_file *source, const char *path, const struct mr_settings *overrides,
                     struct mr_config *cfg, struct mr_naming *naming)
{
    if (json_object_get(source->metadata, "adapter"))
        return mr_fail(MR_EFILE, "%s holds an adapter, not a model: give its model, and this with --lora", path);
    int err = mr_recognise(source, overrides, cfg, naming);
    if (!err && overrides)
        err = mr_config_set_all(cfg, overrides);
    if (!err)
        err = mr_config_check(cfg);
    return err ? mr_fail_in(err, "%s", path) : 0;
}

int mr_model_open_file(mr_tensor_file **source, const char *path, const struct mr_settings *overrides,
                       struct mr_config *cfg, struct mr_naming *naming)
{
    MR_TRY(mr_model_open_source(source, path));
    int err = config_of(*source, path, overrides, cfg, naming);
    if (err) {
        mr_tensor_file_close(*source);
        *source = NULL;
    }
    return err;
}

int mr_model_read_config(const char *path, struct mr_config *cfg)
{
    mr_tensor_file *source;
    struct mr_naming naming;
    MR_TRY(mr_model_open_file(&source, path, NULL, cfg, &naming));
    mr_tensor_file_close(source);
    return 0;
}

/* ---- reading parameters ------------------------------------------------------------------------------------- */

static int read_tensor(mr_runtime *rt, mr_tensor_file *source, size_t i, const struct mr_place *place,
                       const struct mr_param *p, const mr_tensor *to, uint64_t *digest)
{
    struct mr_recipe recipe;
    MR_TRY(mr_recipe_of(&recipe, source, i, place, p));
    return mr_upload(rt, source, &recipe, p, to, digest);
}

/* K-quants become f16, which has more digits than they do. */
static int held_as(enum mr_dtype dtype)
{
    return mr_dtype_writes(dtype) ? mr_element_of(dtype) : MR_F16;
}

int mr_precision_choose(void *context, struct mr_param *p)
{
    const struct mr_precision *precision = context;
    if (!p->matrix)
        return 0;
    int format = precision->wanted;
    if (format == MR_PRECISION_OF_FILE) {
        int64_t at = precision->source ? mr_naming_find(precision->source, precision->naming, p->name, NULL) : -1;
        format = at < 0 ? MR_F32 : held_as(precision->source->tensors[at].dtype);
    }
    p->format = p->shape[1] % mr_element_block((enum mr_element)format) ? MR_F16 : (enum mr_element)format;
    return 0;
}

static int read_parameters(mr_model *model, mr_tensor_file *source, const struct mr_naming *naming,
                           const struct mr_opening *how)
{
    double all = (double)mr_params_elements(&model->params), done = 0;
    MR_TRY(mr_check_names(source, naming, &model->params, &model->cfg));
    for (int i = 0; i < model->params.count; i++) {
        const struct mr_param *p = model->params.list[i];
        struct mr_place place;
        int64_t at = p->adapter ? -1 : mr_naming_find(source, naming, p->name, &place);
        if (how && how->progress)
            MR_TRY(how->progress(how->context, done / all));
        done += (double)p->count;
        if (at >= 0)
            MR_TRY(read_tensor(model->rt, source, (size_t)at, &place, p, &p->value, &model->digest));
        else /* one that may be missing */
            MR_TRY(mr_zero(model->rt, &p->value));
    }
    return 0;
}

int mr_precision_by_name(const char *name, int *precision)
{
    *precision = MR_PRECISION_OF_FILE;
    if (!name)
        return 0;
    int dtype = mr_dtype_from_name(name);
    if (dtype < 0 || (dtype != MR_DTYPE_F32 && mr_element_of((enum mr_dtype)dtype) == MR_F32))
        return mr_fail(MR_EINVAL, "unknown precision '%s': it is one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0",
                       name);
    *precision = mr_element_of((enum mr_dtype)dtype);
    return 0;
}

int mr_model_open(mr_model **model, mr_runtime *rt, const char *path, const struct mr_settings *overrides,
                  int precision, mr_stored_tokenizer **tokenizer)
{
    const struct mr_opening how = {.precision = precision};
    return mr_model_open_as(model, rt, path, overrides, &how, tokenizer);
}

int mr_model_open_as(mr_model **out, mr_runtime *rt, const char *path, const struct mr_settings *overrides,
                     const struct mr_opening *how, mr_stored_tokenizer **tokenizer)
{
    mr_tensor_file *source = NULL;
    mr_model *model = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    int err;
    MR_TRY(mr_model_open_file(&source, path, overrides, &cfg, &naming));
    if (tokenizer)
        MR_GO(mr_model_tokenizer(source, tokenizer));
    MR_GO(mr_adapters_merge(&source, &naming, how->lora));
    struct mr_precision precision = {source, &naming, how->precision};
    if (how->planned)
        MR_GO(how->planned(how->context, &cfg, mr_precision_choose, &precision));
    MR_GO(mr_model_create_tuned(&model, rt, &cfg, how->tuning, mr_precision_choose, &precision, false));
    if ((err = read_parameters(model, source, &naming, how)) < 0) {
        err = mr_fail_in(err, "%s", path);
        goto fail;
    }
    MR_GO(mr_initial_state_read(source, &naming, &cfg, &model->initial));
    mr_tensor_file_close(source);
    *out = model;
    return 0;
fail:
    mr_model_free(model);
    mr_tensor_file_close(source);
    return err;
}

int mr_model_read_moments(const char *path, const struct mr_settings *overrides, const struct mr_param_set *first,
                          const struct mr_param_set *second)
{
    const struct mr_param_set *sets[] = {first, second};
    const struct mr_params *params = &first->model->params;
    const struct mr_place same = {.change = MR_SAME};
    mr_tensor_file *source = NULL;
    struct mr_moments moments = {0};
    struct mr_config cfg;
    struct mr_naming naming;
    int err;
    MR_TRY(mr_model_open_file(&source, path, overrides, &cfg, &naming));
    MR_GO(mr_moments_open(&moments, source, &naming, params));
    if (moments.unknown)
        mr_log(MR_LOG_WARNING, "the optimizer's state is left out: its tensors do not fit the model's parameters");
    for (int i = 0; i < params->count; i++) {
        for (int which = 0; which < 2; which++) {
            int64_t at = mr_moments_find(&moments, source, params, i, which);
            if (at >= 0 && !params->list[i]->frozen)
                MR_GO(read_tensor(first->model->rt, source, (size_t)at, &same, params->list[i], &sets[which]->list[i],
                                  NULL));
        }
    }
fail:
    mr_moments_free(&moments);
    mr_tensor_file_close(source);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}

int mr_model_reload(mr_model *model, const char *path)
{
    mr_tensor_file *source = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    MR_TRY(mr_model_open_file(&source, path, NULL, &cfg, &naming));
    int err = read_parameters(model, source, &naming, NULL);
    mr_tensor_file_close(source);
    return err ? mr_fail_in(err, "%s", path) : 0;
}
