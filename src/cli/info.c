/* SPDX-License-Identifier: GPL-3.0-or-later
 * info: what a model file holds, and the memory that it would take; works without a device. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "cli/cli.h"
#include "model/load.h"
#include "model/pass.h"

struct request {
    const char *model;
    bool tensors, plan, json; /* json: what it prints is JSON anyway */
    int64_t batch;
    json_t *overrides;
};

/* ---- --plan -------------------------------------------------------------------------------------------------- */

/* {"parameters": bytes, ..., "total": bytes} of one pass over the model, with what the model itself takes. */
static int plan_json(const struct mr_config *cfg, const struct mr_pass_options *options, json_t **out)
{
    struct mr_params params = {0};
    mr_plan *plan = NULL;
    json_t *json = json_object();
    size_t total = 0;
    int err;
    mr_pass *pass = mr_alloc(1, sizeof *pass);
    if (!pass || !json) {
        err = mr_fail(MR_ENOMEM, "no memory for a plan");
        goto fail;
    }
    *pass = (struct mr_pass){.cfg = cfg, .options = *options};
    MR_GO(mr_model_declare(&params, cfg));
    MR_GO(mr_plan_create(&plan, NULL));
    MR_GO(mr_model_plan(&params, plan, options->training));
    MR_GO(mr_pass_plan(pass, plan, &params, NULL));
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++) {
        size_t bytes = mr_plan_bytes(plan, kind);
        total += bytes;
        MR_GO(mr_json_set(json, mr_memory_name(kind), json_integer((json_int_t)bytes)));
    }
    MR_GO(mr_json_set(json, "total", json_integer((json_int_t)total)));
    *out = json;
    json = NULL;
fail:
    json_decref(json);
    mr_plan_free(plan);
    mr_pass_free(pass);
    mr_params_free(&params);
    return err;
}

static int add_plans(const struct request *r, const struct mr_config *cfg, json_t *out)
{
    const struct mr_pass_options training = {.batch = (int)r->batch, .time = cfg->block_size, .training = true};
    const struct mr_pass_options decoding = {.batch = 1, .time = 1, .with_state = true};
    json_t *plans = json_object(), *one = NULL;
    int err;
    MR_GO(plan_json(cfg, &training, &one));
    MR_GO(mr_json_set(plans, "training", one));
    if (cfg->mode == MR_CAUSAL) {
        MR_GO(plan_json(cfg, &decoding, &one));
        MR_GO(mr_json_set(plans, "decoding", one));
    }
    return mr_json_set(out, "plan", plans);
fail:
    json_decref(plans);
    return err;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

static json_t *tensor_list(const mr_tensor_file *file)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < file->count; i++) {
        const struct mr_file_tensor *t = &file->tensors[i];
        json_t *shape = json_array();
        for (int d = 0; shape && d < t->ndim; d++)
            json_array_append_new(shape, json_integer(t->shape[d]));
        json_t *row = json_pack("{ss ss so}", "name", t->name, "dtype", mr_dtype_name(t->dtype), "shape", shape);
        if (mr_json_append(list, row) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int add_file(const struct request *r, json_t *out)
{
    mr_tensor_file *file = NULL;
    char digest[33];
    int err;
    MR_GO(mr_model_open_source(&file, r->model));
    MR_GO(mr_json_set(out, "tensors", r->tensors ? tensor_list(file) : json_integer((json_int_t)file->count)));
    MR_GO(mr_tensor_file_digest(file, digest));
    err = mr_json_set(out, "digest", json_string(digest));
fail:
    mr_tensor_file_close(file);
    return err;
}

static int parameter_count(const struct mr_config *cfg, size_t *count)
{
    struct mr_params params = {0};
    int err = mr_model_declare(&params, cfg);
    *count = err ? 0 : mr_params_elements(&params);
    mr_params_free(&params);
    return err;
}

static int run(const struct request *r)
{
    struct mr_config cfg;
    size_t parameters;
    int family = r->plan && !mr_is_file(r->model) && !mr_is_folder(r->model) ? mr_family_by_name(r->model) : -1;
    if (family >= 0) {
        mr_config_defaults(&cfg, family);
        MR_TRY(mr_config_set_all(&cfg, r->overrides));
        MR_TRY(mr_config_check(&cfg));
    } else {
        MR_TRY(mr_model_read_config(r->model, r->overrides, &cfg, NULL));
    }
    MR_TRY(parameter_count(&cfg, &parameters));
    json_t *out = json_pack("{ss ss so sI}", "family", mr_family_name(cfg.family), "mode",
                            cfg.mode == MR_REFERENCE ? "reference" : "causal", "config", mr_config_json(&cfg),
                            "parameters", (json_int_t)parameters);
    int err = out ? 0 : mr_fail(MR_ENOMEM, "no memory for the model's description");
    if (!err && family < 0)
        err = add_file(r, out);
    if (!err && r->plan)
        err = add_plans(r, &cfg, out);
    if (!err)
        return mr_print_json(out);
    json_decref(out);
    return err;
}

int mr_command_info(int argc, char **argv)
{
    struct request r = {.batch = 1};
    struct mr_words words = {0}, config = {0};
    const struct mr_option options[] = {
        {"tensors", MR_OPTION_FLAG, &r.tensors, NULL, "list every tensor with its type and shape"},
        {"plan", MR_OPTION_FLAG, &r.plan, NULL, "the memory of training and decoding it; MODEL may be a family's name"},
        {"batch", MR_OPTION_INT, &r.batch, "B", "texts at a time while training, for --plan (1)"},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        {"json", MR_OPTION_FLAG, &r.json, NULL, "what it prints is JSON anyway"},
    };
    const struct mr_syntax syntax = {
        .name = "info",
        .words = "MODEL",
        .about = "Says as JSON what a model file holds: family, mode, config, parameters, tensors, and the XXH3-128 digest\n"
                 "over the bytes of all tensors in the order of their names.",
        .example = "microrwkv info out/best.mrw --plan",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 1,
        .max_words = 1,
    };
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err)
        err = mr_overrides(&config, &r.overrides);
    if (!err && (r.batch < 1 || r.batch > 1 << 20))
        err = mr_fail(MR_EINVAL, "info: --batch must be a positive number, at most 2^20");
    if (!err) {
        r.model = words.word[0];
        err = run(&r);
    }
    json_decref(r.overrides);
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
