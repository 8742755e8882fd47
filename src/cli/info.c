/* SPDX-License-Identifier: GPL-3.0-or-later
 * info: what a model file holds, and the memory that it would take; works without a device. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "api/info.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/settings_json.h"
#include "cli/cli.h"
#include "cli/info.h"

struct request {
    const char *model;
    struct mr_info_options options;
    bool json, text, globals;
    struct mr_progress bar;
    bool begun;
};

static void on_progress(void *context, size_t done, size_t all)
{
    struct request *r = context;
    if (!r->begun)
        mr_progress_begin(&r->bar, stderr, "reading", all);
    r->begun = true;
    mr_progress_update(&r->bar, done, NULL);
}

static json_t *settings_or_null(const struct mr_settings *settings)
{
    return settings->count ? mr_settings_to_json(settings) : json_null();
}

/* {"iter", …}; a loss that is not finite as text. */
static json_t *training_json(const struct mr_settings *training)
{
    json_t *json = settings_or_null(training);
    const struct mr_value *best = mr_settings_find(training, "best_val_loss");
    if (best)
        mr_json_put(&json, "best_val_loss", mr_json_real(best->real));
    return json;
}

static json_t *tensor_json(const struct mr_info_tensor *t)
{
    json_t *shape = json_array();
    for (int d = 0; shape && d < t->ndim; d++)
        mr_json_push(&shape, json_integer(t->shape[d]));
    json_t *object = json_pack("{ss ss so}", "name", t->name, "dtype", t->dtype, "shape", shape);
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"min", t->min}, {"max", t->max}, {"mean", t->mean}, {"std", t->std}};
    for (size_t i = 0; object && i < MR_COUNT(numbers); i++)
        mr_json_put(&object, numbers[i].key, t->finite ? json_real(numbers[i].value) : json_null());
    mr_json_put(&object, "nan", json_integer((json_int_t)t->nans));
    mr_json_put(&object, "inf", json_integer((json_int_t)t->infinite));
    return object;
}

static json_t *tensors_json(const struct mr_info *info)
{
    if (!info->tensors)
        return json_integer((json_int_t)info->tensor_count);
    json_t *list = json_array();
    for (size_t i = 0; list && i < info->tensor_count; i++)
        mr_json_push(&list, tensor_json(&info->tensors[i]));
    return list;
}

static int add_file(const struct mr_info *info, json_t *out)
{
    MR_TRY(mr_json_set(out, "precision", mr_settings_to_json(&info->precision)));
    MR_TRY(mr_json_set(out, "tokenizer", settings_or_null(&info->tokenizer)));
    MR_TRY(mr_json_set(out, "training", training_json(&info->training)));
    MR_TRY(mr_json_set(out, "tensors", tensors_json(info)));
    return mr_json_set(out, "digest", json_string(info->digest));
}

static int add_plans(const struct mr_info *info, json_t *out)
{
    json_t *plans = json_object();
    MR_TRY(mr_json_set(out, "plan", plans));
    if (info->training_plan.count)
        MR_TRY(mr_json_set(plans, "training", mr_settings_to_json(&info->training_plan)));
    return info->decoding_plan.count ? mr_json_set(plans, "decoding", mr_settings_to_json(&info->decoding_plan)) : 0;
}

static int describe(const struct mr_info *info, json_t **json)
{
    *json = json_pack("{ss ss so sI sI}", "family", info->family, "mode", info->mode, "config",
                      mr_settings_to_json(&info->config), "parameters", (json_int_t)info->parameters,
                      "parameters_without_embeddings", (json_int_t)info->parameters_without_embeddings);
    int err = *json ? 0 : mr_fail(MR_ENOMEM, "out of memory for the model's description");
    if (!err && info->is_file)
        err = add_file(info, *json);
    if (!err && info->plans)
        err = add_plans(info, *json);
    return err;
}

static int run(struct request *r)
{
    struct mr_info info;
    json_t *out = NULL;
    bool text = r->text || (!r->json && isatty(STDOUT_FILENO));
    if (r->globals)
        return mr_info_globals(r->model, text);
    r->options.progress = on_progress;
    r->options.context = r;
    int err = mr_model_info(r->model, &r->options, &info);
    if (r->begun)
        mr_progress_end(&r->bar);
    if (!err)
        err = describe(&info, &out);
    mr_info_free(&info);
    if (!err && text)
        err = mr_info_print(out);
    else if (!err)
        return mr_print_json(out);
    json_decref(out);
    return err;
}

int mr_command_info(int argc, char **argv)
{
    struct request r = {0};
    int64_t batch = 1, rank = 0;
    struct mr_words words = {0}, config = {0};
    const struct mr_option options[] = {
        {"tensors", MR_OPTION_FLAG, &r.options.tensors, NULL, "list every tensor with its type, shape and statistics"},
        {"plan", MR_OPTION_FLAG, &r.options.plan, NULL,
         "the memory of training and decoding it; MODEL may be a name such as gpt2-xl"},
        {"batch", MR_OPTION_INT, &batch, "B", "texts at a time while training, for --plan (1)"},
        {"train-only", MR_OPTION_TEXT, &r.options.tuning.train_only, "P",
         "the training plan with train_only=P: only parameters whose names fit"},
        {"rank", MR_OPTION_INT, &rank, "R", "the training plan with adapter=lora rank=R"},
        {"targets", MR_OPTION_TEXT, &r.options.tuning.targets, "T", "and targets=T"},
        {"recompute", MR_OPTION_FLAG, &r.options.recompute, NULL, "train with recompute=True, for --plan"},
        {"precision", MR_OPTION_TEXT, &r.options.precision, "P", MR_PRECISION_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        {"list-globals", MR_OPTION_FLAG, &r.globals, NULL,
         "instead: the classes and functions that a file of torch or a pickle asks for, and what becomes of each; "
         "nothing is run"},
        {"json", MR_OPTION_FLAG, &r.json, NULL, "print JSON, as it does anyway where stdout is no terminal"},
        {"text", MR_OPTION_FLAG, &r.text, NULL, "print for people, as it does anyway on a terminal"},
    };
    const struct mr_syntax syntax = {
        .name = "info",
        .words = "MODEL",
        .about = "Describes a model file: family, mode, config, parameters, precision, tokenizer, training state,\n"
                 "tensors, and the XXH3-128 digest over the bytes of all tensors in the order of their names. Needs no "
                 "device.",
        .example = "microrwkv info out/best.mrw --plan",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 1,
        .max_words = 1,
    };
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err) {
        r.model = words.word[0];
        r.options.config = config.word;
        r.options.tuning.rank = rank < 0 || rank > 4096 ? 0 : (int)rank;
        r.options.tuning.alpha = 1;
        r.options.batch = batch > INT_MAX ? INT_MAX : batch < 0 ? 0 : (int)batch;
        err = run(&r);
    }
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
