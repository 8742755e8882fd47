/* SPDX-License-Identifier: GPL-3.0-or-later
 * eval: the loss of a model over prepared data. */
#include <limits.h>
#include <stdio.h>

#include "api/checks.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "microrwkv/microrwkv.h"

enum { STEPS = 1000 }; /* of the progress bar */

struct request {
    struct mr_common common;
    const char *data, *split, *precision;
    int64_t iters, batch, block;
    uint64_t seed;
    bool stream;
    struct mr_progress bar;
    const volatile sig_atomic_t *stopped;
};

static int on_progress(void *context, double part)
{
    struct request *r = context;
    mr_progress_update(&r->bar, (uint64_t)(part * STEPS), NULL);
    return *r->stopped != 0;
}

static int print_result(const struct request *r, const struct mr_evaluate_result *e)
{
    json_t *bits = e->bits_per_byte < 0 ? json_null() : mr_json_finite(e->bits_per_byte);
    if (r->common.json)
        return mr_print_json(json_pack("{so so so sI}", "loss", mr_json_finite(e->loss), "perplexity",
                                       mr_json_finite(e->perplexity), "bits_per_byte", bits, "tokens",
                                       (json_int_t)e->tokens));
    printf("loss %.4f, perplexity %.3f, ", e->loss, e->perplexity);
    json_is_null(bits) ? printf("bits per byte unknown") : printf("%.4f bits per byte", e->bits_per_byte);
    printf(", %llu tokens\n", (unsigned long long)e->tokens);
    json_decref(bits);
    return 0;
}

static int run(struct request *r, const char *path, const struct mr_words *config, const struct mr_words *lora)
{
    mr_runtime *rt = NULL;
    struct mr_evaluate_options options;
    struct mr_evaluate_result result = {.size = sizeof result};
    mr_evaluate_defaults(&options, sizeof options);
    options.split = r->split;
    options.iters = r->iters;
    options.batch = (int)r->batch;
    options.block = (int)r->block;
    options.stream = r->stream;
    options.seed = r->seed;
    options.precision = r->precision;
    options.config = config->word;
    options.lora = lora->word;
    options.progress = on_progress;
    options.context = r;
    r->stopped = mr_catch_signals();
    MR_TRY(mr_check_data(r->data));
    MR_TRY(mr_check_model(path));
    MR_TRY(mr_common_open(&r->common, &rt));
    mr_progress_begin(&r->bar, stderr, "eval", STEPS);
    int err = mr_evaluate_run(rt, path, r->data, &options, &result);
    mr_progress_end(&r->bar);
    struct mr_error_kept kept;
    mr_error_keep(&kept);
    int printed = result.tokens ? print_result(r, &result) : 0;
    if (err)
        mr_error_restore(&kept);
    mr_common_close(&r->common, rt);
    return err ? err : printed;
}

int mr_command_eval(int argc, char **argv)
{
    struct request r = {.split = "val", .batch = 1, .seed = 1337};
    struct mr_words words = {0}, config = {0}, lora = {0};
    const struct mr_option options[] = {
        {"data", MR_OPTION_TEXT, &r.data, "DIR", "a folder that prepare wrote"},
        {"split", MR_OPTION_TEXT, &r.split, "S", "train or val (val)"},
        {"iters", MR_OPTION_INT, &r.iters, "N", "evaluate N random batches instead of the whole split"},
        {"batch", MR_OPTION_INT, &r.batch, "B", "windows per batch (1)"},
        {"block", MR_OPTION_INT, &r.block, "T", "positions in a window (the model's block_size)"},
        {"stream", MR_OPTION_FLAG, &r.stream, NULL, "read the split as one text, carrying the state along"},
        {"seed", MR_OPTION_SEED, &r.seed, "S", "seed of the random batches of --iters (1337)"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"lora", MR_OPTION_LIST, &lora, "F[:S]", MR_LORA_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "override a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {.name = "eval",
                                     .words = "MODEL",
                                     .about = "Measures a model's loss on prepared data.",
                                     .example = "microrwkv eval out/best.mrw --data data/stories --iters 50",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 1,
                                     .max_words = 1};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !r.data)
        err = mr_fail(MR_EINVAL, "eval needs --data DIR: see eval --help");
    if (!err && (r.iters < 0 || r.batch < 1 || r.batch > INT_MAX || r.block < 0 || r.block > INT_MAX))
        err = mr_fail(MR_EINVAL, "--iters, --batch and --block must be positive");
    if (!err)
        err = run(&r, words.word[0], &config, &lora);
    mr_words_free(&words);
    mr_words_free(&config);
    mr_words_free(&lora);
    return err;
}
