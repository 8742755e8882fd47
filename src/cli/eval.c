/* SPDX-License-Identifier: GPL-3.0-or-later
 * eval: the loss of a model over prepared data. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "infer/evaluate.h"
#include "formats/load.h"

struct request {
    struct mr_common common;
    const char *data, *split, *precision;
    int64_t iters, batch, block;
    uint64_t seed;
    bool stream;
    struct mr_progress bar;
};

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    struct request *r = context;
    r->bar.total = all;
    mr_progress_update(&r->bar, done, NULL);
}

static int check_tokenizer(mr_token_data *data, const struct mr_model_file *file, const char *folder)
{
    json_t *made_with = mr_token_data_tokenizer(data);
    if (made_with && file->tokenizer && !json_equal(made_with, file->tokenizer))
        return mr_fail(MR_EFILE, "the data set %s was made with another tokenizer than the model's", folder);
    return 0;
}

static int print_result(const struct request *r, const struct mr_evaluated *e)
{
    json_t *bits = e->bits_per_byte < 0 ? json_null() : mr_json_finite(e->bits_per_byte);
    if (r->common.json)
        return mr_print_json(json_pack("{so so so sI}", "loss", mr_json_finite(e->loss), "perplexity",
                                       mr_json_finite(exp(e->loss)), "bits_per_byte", bits, "tokens",
                                       (json_int_t)e->tokens));
    printf("loss %.4f, perplexity %.3f, ", e->loss, exp(e->loss));
    json_is_null(bits) ? printf("bits per byte unknown") : printf("%.4f bits per byte", e->bits_per_byte);
    printf(", %llu tokens\n", (unsigned long long)e->tokens);
    json_decref(bits);
    return 0;
}

static int run(struct request *r, const char *path, const json_t *overrides)
{
    mr_runtime *rt = NULL;
    mr_model *model = NULL;
    mr_token_data *data = NULL;
    struct mr_model_file file = {0};
    struct mr_evaluated result;
    int err;
    int precision;
    MR_GO(mr_precision_by_name(r->precision, &precision));
    MR_GO(mr_token_data_open(&data, r->data));
    MR_GO(mr_common_open(&r->common, &rt));
    MR_GO(mr_model_open(&model, rt, path, overrides, precision, &file));
    MR_GO(check_tokenizer(data, &file, r->data));
    MR_GO(mr_token_data_find_bytes(data, file.tokenizer));
    struct mr_evaluation how = {.split = strcmp(r->split, "train") == 0 ? MR_SPLIT_TRAIN : MR_SPLIT_VAL,
                                .iters = r->iters,
                                .seed = r->seed,
                                .stream = r->stream,
                                .block = r->block ? (int)r->block : model->cfg.block_size,
                                .batch = r->stream ? 1 : (int)r->batch,
                                .progress = on_progress,
                                .context = r,
                                .stop = mr_catch_signals()};
    mr_progress_begin(&r->bar, stderr, "eval", 1);
    err = mr_evaluate(model, data, &how, &result);
    mr_progress_end(&r->bar);
    if (!err)
        err = print_result(r, &result);
    if (!err && !isfinite(result.loss))
        err = mr_fail(MR_ENUMERIC, "the loss of %s is %g: its weights are damaged, or its training diverged", path,
                      result.loss);
fail:
    mr_model_file_free(&file);
    mr_token_data_close(data);
    mr_model_free(model);
    mr_common_close(&r->common, rt);
    return err;
}

int mr_command_eval(int argc, char **argv)
{
    struct request r = {.split = "val", .batch = 1, .seed = 1337};
    struct mr_words words = {0}, config = {0};
    json_t *overrides = NULL;
    const struct mr_option options[] = {
        {"data", MR_OPTION_TEXT, &r.data, "DIR", "a folder that prepare wrote"},
        {"split", MR_OPTION_TEXT, &r.split, "S", "train or val (val)"},
        {"iters", MR_OPTION_INT, &r.iters, "N", "so many batches drawn at random; without it the whole split"},
        {"batch", MR_OPTION_INT, &r.batch, "B", "windows at a time (1)"},
        {"block", MR_OPTION_INT, &r.block, "T", "positions of a window (the model's block_size)"},
        {"stream", MR_OPTION_FLAG, &r.stream, NULL, "all as one text, the state carried on"},
        {"seed", MR_OPTION_SEED, &r.seed, "S", "of the draws of --iters (1337)"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {.name = "eval",
                                     .words = "MODEL",
                                     .about = "Measures the loss of a model on prepared data.",
                                     .example = "microrwkv eval out/best.mrw --data data/stories --iters 50",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 1,
                                     .max_words = 1};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !r.data)
        err = mr_fail(MR_EINVAL, "eval needs --data DIR: see eval --help");
    if (!err && strcmp(r.split, "train") != 0 && strcmp(r.split, "val") != 0)
        err = mr_fail(MR_EINVAL, "--split is train or val, not '%s'", r.split);
    if (!err && (r.iters < 0 || r.batch < 1 || r.batch > INT_MAX || r.block < 0 || r.block > INT_MAX))
        err = mr_fail(MR_EINVAL, "--iters, --batch and --block must be positive");
    if (!err)
        err = mr_overrides(&config, &overrides);
    if (!err)
        err = run(&r, words.word[0], overrides);
    json_decref(overrides);
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
