/* SPDX-License-Identifier: GPL-3.0-or-later
 * info: what a model file holds, and the memory that it would take; works without a device. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/info.h"
#include "formats/load.h"
#include "model/memory.h"
#include "model/sizes.h"
#include "text/folder.h"

struct request {
    const char *model, *precision;
    int wanted; /* precision: enum mr_element, or as in the file */
    bool tensors, plan, json, text, globals;
    int64_t batch;
    json_t *overrides;
};

/* ---- --plan -------------------------------------------------------------------------------------------------- */

/* {"parameters": bytes, ..., "total": bytes} */
static int plan_json(const mr_plan *plan, json_t **out)
{
    json_t *json = json_object();
    size_t total = 0;
    int err;
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++) {
        size_t bytes = mr_plan_bytes(plan, kind);
        total += bytes;
        MR_GO(mr_json_set(json, mr_memory_name(kind), json_integer((json_int_t)bytes)));
    }
    MR_GO(mr_json_set(json, "total", json_integer((json_int_t)total)));
    *out = json;
    return 0;
fail:
    json_decref(json);
    return err;
}

static int add_plan(const struct mr_config *cfg, const struct mr_memory_need *need, const char *name, json_t *plans)
{
    mr_plan *plan = NULL;
    json_t *json = NULL;
    int err;
    MR_GO(mr_memory_plan(&plan, cfg, need, NULL));
    MR_GO(plan_json(plan, &json));
    err = mr_json_set(plans, name, json);
fail:
    mr_plan_free(plan);
    return err;
}

static int add_plans(const struct request *r, const struct mr_config *cfg, struct mr_precision *precision, json_t *out)
{
    const struct mr_memory_need training = {
        .workspace = {.batch = (int)r->batch, .time = cfg->block_size, .training = true}, .optimizer = true};
    struct mr_memory_need decoding = {.slots = 1, .choose = mr_precision_choose, .context = precision};
    json_t *plans = json_object();
    int err;
    if (mr_model_trainable(cfg))
        MR_GO(add_plan(cfg, &training, "training", plans));
    if (mr_states_possible(cfg)) {
        mr_decoding_options(&decoding.workspace, cfg, 1);
        MR_GO(add_plan(cfg, &decoding, "decoding", plans));
    }
    return mr_json_set(out, "plan", plans);
fail:
    json_decref(plans);
    return err;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

/* {"kind", "vocab_size"} of the tokenizer inside; null: none. */
static int add_tokenizer(const struct request *r, const struct mr_model_file *file, json_t *out)
{
    mr_tokenizer *t = NULL;
    if (file->tokenizer)
        MR_TRY(mr_tokenizer_open_json(&t, file->tokenizer));
    else if (mr_is_folder(r->model))
        MR_TRY(mr_folder_tokenizer(&t, r->model));
    if (!t)
        return mr_json_set(out, "tokenizer", json_null());
    int err = mr_json_set(
        out, "tokenizer",
        json_pack("{ss sI}", "kind", mr_tokenizer_name(t), "vocab_size", (json_int_t)mr_tokenizer_vocab_size(t)));
    mr_tokenizer_close(t);
    return err;
}

/* Where the run stands; what was given to it is left out. */
static int add_training(const struct mr_model_file *file, json_t *out)
{
    json_t *training = file->training ? json_copy(file->training) : json_null();
    if (json_object_get(training, "given"))
        json_object_del(training, "given");
    return mr_json_set(out, "training", training);
}

/* {"f32": numbers, …}: how the parameters are stored. */
static int add_precision(mr_tensor_file *file, const struct mr_naming *naming, const struct mr_params *params,
                         json_t *out)
{
    int64_t counts[MR_DTYPES] = {0};
    json_t *precision = json_object();
    for (int i = 0; i < params->count; i++) {
        int64_t at = mr_naming_find(file, naming, params->list[i]->name, NULL);
        if (at >= 0)
            counts[file->tensors[at].dtype] += (int64_t)params->list[i]->count;
    }
    for (int i = 0; precision && i < MR_DTYPES; i++)
        if (counts[i])
            mr_json_put(&precision, mr_dtype_name((enum mr_dtype)i), json_integer(counts[i]));
    return mr_json_set(out, "precision", precision);
}

static int add_file(const struct request *r, mr_tensor_file *source, const struct mr_model_file *file, json_t *out)
{
    char digest[33];
    json_t *tensors = NULL;
    MR_TRY(add_tokenizer(r, file, out));
    MR_TRY(add_training(file, out));
    if (r->tensors)
        MR_TRY(mr_info_tensors(source, &tensors));
    else
        tensors = json_integer((json_int_t)source->count);
    MR_TRY(mr_json_set(out, "tensors", tensors));
    MR_TRY(mr_tensor_file_digest(source, digest));
    return mr_json_set(out, "digest", json_string(digest));
}

static bool is_embedding(const char *name)
{
    return !strcmp(name, "emb.weight") || !strcmp(name, "transformer.wte.weight") ||
           !strcmp(name, "transformer.wpe.weight");
}

static json_t *describe(const struct mr_config *cfg, const struct mr_params *params)
{
    size_t embeddings = 0, all = mr_params_elements(params);
    for (int i = 0; i < params->count; i++)
        embeddings += is_embedding(params->list[i]->name) ? params->list[i]->count : 0;
    return json_pack("{ss ss so sI sI}", "family", mr_family_name(cfg->family), "mode",
                     cfg->mode == MR_REFERENCE ? "reference" : "causal", "config", mr_config_json(cfg), "parameters",
                     (json_int_t)all, "parameters_without_embeddings", (json_int_t)(all - embeddings));
}

/* A file or folder that is there, or the name of a size. */
static int tell(const struct request *r, json_t **out)
{
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_params params = {0};
    struct mr_model_file file = {0};
    mr_tensor_file *source = NULL;
    bool by_name = !mr_is_file(r->model) && !mr_is_folder(r->model) && !strpbrk(r->model, "/.");
    int err;
    if (by_name && (err = mr_config_by_name(&cfg, r->model, r->overrides)) < 0)
        return r->plan ? err : mr_fail_in(MR_EFILE, "%s is no file", r->model);
    if (!by_name)
        MR_GO(mr_model_open_file(&source, r->model, r->overrides, &cfg, &naming, &file));
    MR_GO(mr_model_declare(&params, &cfg));
    err = (*out = describe(&cfg, &params)) ? 0 : mr_fail(MR_ENOMEM, "no memory for the model's description");
    if (!err && source)
        err = add_precision(source, &naming, &params, *out);
    if (!err && source)
        err = add_file(r, source, &file, *out);
    if (!err && r->plan)
        err = add_plans(r, &cfg, &(struct mr_precision){source, &naming, r->wanted}, *out);
fail:
    mr_params_free(&params);
    mr_model_file_free(&file);
    mr_tensor_file_close(source);
    return err;
}

static int run(const struct request *r)
{
    json_t *out = NULL;
    bool text = r->text || (!r->json && isatty(STDOUT_FILENO));
    if (r->globals)
        return mr_info_globals(r->model, text);
    int err = tell(r, &out);
    if (!err && text)
        err = mr_info_print(out);
    else if (!err)
        return mr_print_json(out);
    json_decref(out);
    return err;
}

int mr_command_info(int argc, char **argv)
{
    struct request r = {.batch = 1};
    struct mr_words words = {0}, config = {0};
    const struct mr_option options[] = {
        {"tensors", MR_OPTION_FLAG, &r.tensors, NULL, "list every tensor with its type, shape and statistics"},
        {"plan", MR_OPTION_FLAG, &r.plan, NULL,
         "the memory of training and decoding it; MODEL may be a name such as gpt2-xl"},
        {"batch", MR_OPTION_INT, &r.batch, "B", "texts at a time while training, for --plan (1)"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
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
        .about = "Says what a model file holds: family, mode, config, parameters, precision, tokenizer, where its "
                 "training stands,\n"
                 "tensors, and the XXH3-128 digest over the bytes of all tensors in the order of their names. Needs no "
                 "device.",
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
    if (!err)
        err = mr_precision_by_name(r.precision, &r.wanted);
    if (!err) {
        r.model = words.word[0];
        err = run(&r);
    }
    json_decref(r.overrides);
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
