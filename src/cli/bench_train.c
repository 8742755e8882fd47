/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench train: how long a training step takes. */
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "bench/train.h"
#include "cli/bench.h"

struct request {
    struct mr_bench bench;
    struct mr_train_config cfg;
    const char *label;
    int64_t steps;
};

static int measure(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to)
{
    struct request *r = (struct request *)job->what; /* this process has its own copy */
    const struct mr_train_bench b = {
        .cfg = &r->cfg, .label = r->label, .command = r->bench.command, .steps = r->steps, .stop = r->bench.stopped};
    return mr_train_measure(rt, &b, put, to);
}

static double number_of(const json_t *line, const char *key)
{
    return json_number_value(json_object_get(line, key));
}

static void show(const json_t *line)
{
    char peak[24];
    if (json_object_get(line, "reason"))
        return;
    printf("%s: %s, %lld parameters\n  a step       %.2f ms, median %.2f ms, of %.0f steps\n  speed        %.0f "
           "tokens/s, %.1f GFLOPS, %.0f%% of the limit\n  memory       %s\n",
           json_string_value(json_object_get(line, "device")), json_string_value(json_object_get(line, "label")),
           (long long)number_of(line, "parameters"), number_of(line, "step_ms_min"), number_of(line, "step_ms_median"),
           number_of(line, "steps"), number_of(line, "tokens_per_s"), number_of(line, "gflops"),
           100 * number_of(line, "share_of_limit"),
           mr_format_bytes(peak, (uint64_t)number_of(line, "peak_device_bytes")));
}

/* A configuration file, "key=value", or the name of a model. */
static int settings(struct request *r, const struct mr_words *words)
{
    r->label = "microrwkv";
    r->cfg.gradient_accumulation_steps = 1; /* a step is one batch unless something else is wanted */
    for (int i = 0; i < words->count; i++) {
        const char *word = words->word[i];
        if (strchr(word, '=')) {
            MR_TRY(mr_train_config_assign(&r->cfg, word));
        } else if (mr_is_file(word)) {
            MR_TRY(mr_train_config_file(&r->cfg, word));
            r->label = word;
        } else {
            MR_TRY(mr_train_bench_model(&r->cfg, word));
            r->label = word;
        }
    }
    return mr_train_config_check(&r->cfg);
}

int mr_bench_train(int argc, char **argv)
{
    struct request r = {.bench = {.patience = 3600, .show = show}, .steps = 10};
    struct mr_words words = {0};
    const struct mr_option options[] = {
        {"steps", MR_OPTION_INT, &r.steps, "N", "steps that are timed, after a first one (10)"},
        MR_BENCH_OPTIONS(&r.bench),
    };
    const struct mr_syntax syntax = {
        .name = "bench train",
        .words = "[MODEL|CONFIG] [key=value ...]",
        .about =
            "Times training steps on random tokens and random weights: MODEL is a name of `new`, CONFIG a file, and "
            "the keys\nare those of `train`. GFLOPS count the matrices alone, six for each of their numbers and "
            "token.",
        .example = "microrwkv bench train gpt2 batch_size=4 block_size=64 --steps 20",
        .options = options,
        .option_count = MR_COUNT(options),
        .max_words = INT_MAX,
        .key_values = true,
    };
    struct mr_bench_job job = {.kind = "train", .measure = measure, .what = &r};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && (r.steps < 1 || r.steps > 1 << 20))
        err = mr_fail(MR_EINVAL, "bench train: --steps must be between 1 and 2^20");
    if (!err)
        err = mr_train_config_defaults(&r.cfg);
    if (!err)
        err = settings(&r, &words);
    if (!err) {
        err = mr_bench_begin(&r.bench, argc, argv);
        err = mr_bench_end(&r.bench, err ? err : mr_bench_on_devices(&r.bench, &job));
    }
    mr_train_config_free(&r.cfg);
    mr_words_free(&words);
    return err;
}
