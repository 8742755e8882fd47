/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/info_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "model/memory.h"
#include "model/sizes.h"
#include "text/folder.h"

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static int set_int(struct mr_settings *s, const char *key, int64_t number)
{
    const struct mr_value value = {.kind = MR_VALUE_INT, .integer = number};
    return mr_settings_set(s, key, &value);
}

static int set_text(struct mr_settings *s, const char *key, const char *text)
{
    struct mr_value value;
    MR_TRY(mr_value_text(&value, text, strlen(text)));
    int err = mr_settings_set(s, key, &value);
    mr_value_free(&value);
    return err;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static int add_plan(const struct mr_config *cfg, const struct mr_memory_need *need, struct mr_settings *out)
{
    mr_plan *plan = NULL;
    int64_t total = 0;
    int err;
    MR_TRY(mr_memory_plan(&plan, cfg, need, NULL));
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++) {
        int64_t bytes = (int64_t)mr_plan_bytes(plan, kind);
        total += bytes;
        MR_GO(set_int(out, mr_memory_name(kind), bytes));
    }
    err = set_int(out, "total", total);
fail:
    mr_plan_free(plan);
    return err;
}

static int add_plans(const struct mr_info_options *o, const struct mr_config *cfg, struct mr_precision *precision,
                     struct mr_info *info)
{
    struct mr_memory_need training = {
        .workspace = {.batch = o->batch, .time = cfg->block_size, .training = true, .recompute = o->recompute},
        .optimizer = true,
        .tuning = &o->tuning};
    if (mr_tuning_adapts(&o->tuning)) { /* whose model may be in any format */
        training.choose = mr_precision_choose;
        training.context = precision;
    }
    struct mr_memory_need decoding = {.slots = 1, .choose = mr_precision_choose, .context = precision};
    info->plans = true;
    if (mr_model_trainable(cfg))
        MR_TRY(add_plan(cfg, &training, &info->training_plan));
    if (!mr_states_possible(cfg))
        return 0;
    mr_decoding_options(&decoding.workspace, cfg, 1);
    return add_plan(cfg, &decoding, &info->decoding_plan);
}

/* ---- what the file says ------------------------------------------------------------------------------------------ */

static int add_tokenizer(const char *model, mr_tensor_file *source, struct mr_info *info)
{
    mr_stored_tokenizer *stored;
    mr_tokenizer *t = NULL;
    int err = 0;
    MR_TRY(mr_model_tokenizer(source, &stored));
    if (stored)
        err = mr_tokenizer_open_stored(&t, stored);
    else if (mr_is_folder(model))
        err = mr_folder_tokenizer(&t, model);
    mr_stored_tokenizer_free(stored);
    if (!err && t)
        err = set_text(&info->tokenizer, "kind", mr_tokenizer_name(t));
    if (!err && t)
        err = set_int(&info->tokenizer, "vocab_size", (int64_t)mr_tokenizer_vocab_size(t));
    mr_tokenizer_close(t);
    return err;
}

static int add_training(mr_tensor_file *source, struct mr_info *info)
{
    struct mr_settings *out = &info->training;
    struct mr_training t;
    bool found;
    int err;
    MR_TRY(mr_training_read(source, &t, &found));
    if (!found)
        return 0;
    const struct mr_value only = {.kind = MR_VALUE_BOOL, .yes = t.weights_only};
    const struct mr_value best = {.kind = MR_VALUE_REAL, .real = t.best_val_loss};
    MR_GO(set_int(out, "iter", t.iter));
    MR_GO(set_int(out, "micro_step", (int64_t)t.micro_step));
    MR_GO(set_int(out, "optimizer_steps", t.optimizer_steps));
    MR_GO(set_int(out, "seed", (int64_t)t.seed));
    MR_GO(mr_settings_set(out, "best_val_loss", &best));
    if (*t.gemm_table)
        MR_GO(set_text(out, "gemm_table", t.gemm_table));
    err = mr_settings_set(out, "weights_only", &only);
fail:
    mr_training_free(&t);
    return err;
}

static int add_precision(mr_tensor_file *file, const struct mr_naming *naming, const struct mr_params *params,
                         struct mr_info *info)
{
    int64_t counts[MR_DTYPES] = {0};
    for (int i = 0; i < params->count; i++) {
        int64_t at = mr_naming_find(file, naming, params->list[i]->name, NULL);
        if (at >= 0)
            counts[file->tensors[at].dtype] += (int64_t)params->list[i]->count;
    }
    for (int i = 0; i < MR_DTYPES; i++)
        if (counts[i])
            MR_TRY(set_int(&info->precision, mr_dtype_name((enum mr_dtype)i), counts[i]));
    return 0;
}

static int add_file(const char *model, mr_tensor_file *source, const struct mr_info_options *o, struct mr_info *info)
{
    info->is_file = true;
    info->tensor_count = source->count;
    MR_TRY(add_tokenizer(model, source, info));
    MR_TRY(add_training(source, info));
    if (o->tensors)
        MR_TRY(mr_info_tensors(source, o, info));
    return mr_tensor_file_digest(source, info->digest);
}

static bool is_embedding(const char *name)
{
    return !strcmp(name, "emb.weight") || !strcmp(name, "transformer.wte.weight") ||
           !strcmp(name, "transformer.wpe.weight");
}

static int describe(const struct mr_config *cfg, const struct mr_params *params, struct mr_info *info)
{
    info->family = mr_family_name(cfg->family);
    info->mode = cfg->mode == MR_REFERENCE ? "reference" : "causal";
    info->parameters = info->parameters_without_embeddings = mr_params_elements(params);
    for (int i = 0; i < params->count; i++)
        if (is_embedding(params->list[i]->name))
            info->parameters_without_embeddings -= params->list[i]->count;
    return mr_config_settings(cfg, &info->config);
}

static int read_info(const char *model, const struct mr_settings *overrides, const struct mr_info_options *o,
                     struct mr_info *info)
{
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_params params = {0};
    struct mr_precision precision = {.naming = &naming};
    bool by_name = !mr_is_file(model) && !mr_is_folder(model) && mr_is_model_word(model);
    int err;
    MR_TRY(mr_precision_by_name(o->precision, &precision.wanted));
    if (by_name && (err = mr_config_by_name(&cfg, model, overrides)) < 0)
        return o->plan ? err : mr_fail_in(MR_EFILE, "no such file: %s", model);
    if (!by_name)
        MR_GO(mr_model_open_file(&precision.source, model, overrides, &cfg, &naming));
    MR_GO(mr_model_declare(&params, &cfg));
    MR_GO(describe(&cfg, &params, info));
    if (precision.source)
        MR_GO(add_precision(precision.source, &naming, &params, info));
    if (precision.source)
        MR_GO(add_file(model, precision.source, o, info));
    if (o->plan)
        MR_GO(add_plans(o, &cfg, &precision, info));
fail:
    mr_params_free(&params);
    mr_tensor_file_close(precision.source);
    return err;
}

int mr_model_info(const char *model, const struct mr_info_options *options, struct mr_info *info)
{
    struct mr_settings overrides = {0};
    *info = (struct mr_info){0};
    int err = mr_config_words(options->config, &overrides);
    if (!err && (options->batch < 1 || options->batch > 1 << 20))
        err = mr_fail(MR_EINVAL, "info: --batch must be a positive number, at most 2^20");
    if (!err)
        err = read_info(model, &overrides, options, info);
    mr_settings_free(&overrides);
    return err;
}

void mr_info_free(struct mr_info *info)
{
    struct mr_settings *lists[] = {&info->config,   &info->precision,     &info->tokenizer,
                                   &info->training, &info->training_plan, &info->decoding_plan};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        mr_settings_free(lists[i]);
    for (size_t i = 0; info->tensors && i < info->tensor_count; i++)
        free(info->tensors[i].name);
    free(info->tensors);
    *info = (struct mr_info){0};
}
