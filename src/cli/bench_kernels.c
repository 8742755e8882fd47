/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench kernels: what each kernel reaches where models use it. */
#include <limits.h>

#include "base/json.h"
#include "bench/kernels.h"
#include "cli/bench.h"
#include "formats/load.h"

struct request {
    struct mr_bench bench;
    struct mr_kernel_bench kernels;
    const char *precision;
    struct mr_bench_model *models;
    int count;
};

static int measure(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to)
{
    const struct request *r = job->what;
    struct mr_kernel_bench b = r->kernels;
    b.model = &r->models[job->item];
    b.command = r->bench.command;
    b.stop = r->bench.stopped;
    return mr_kernels_measure(rt, &b, put, to);
}

static int describe(const struct mr_bench_job *job, json_t *line)
{
    const struct request *r = job->what;
    return mr_json_set(line, "shape", json_string(r->models[job->item].label));
}

static double number_of(const json_t *line, const char *key)
{
    return json_number_value(json_object_get(line, key));
}

static void show(const json_t *line)
{
    if (json_object_get(line, "reason"))
        return;
    printf("%-30s %-26s %10.1f us %8.1f GB/s %9.1f GFLOPS %5.0f%%\n",
           json_string_value(json_object_get(line, "kernel")), json_string_value(json_object_get(line, "shape")),
           number_of(line, "us"), number_of(line, "gb_per_s"), number_of(line, "gflops"),
           100 * number_of(line, "share_of_limit"));
}

static void begin(const struct mr_bench_job *job, const json_t *device)
{
    (void)job;
    printf("%s (%s)\n", json_string_value(json_object_get(device, "name")),
           json_string_value(json_object_get(device, "platform")));
}

int mr_bench_kernels(int argc, char **argv)
{
    struct request r = {.bench = {.patience = 600, .show = show}, .kernels = {.steps = 32, .prompt = 256}};
    struct mr_words words = {0};
    struct mr_str names = {0};
    const struct mr_option options[] = {
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"steps", MR_OPTION_INT, &r.kernels.steps, "N", "tokens that are decoded (32)"},
        {"prompt", MR_OPTION_INT, &r.kernels.prompt, "N", "tokens of the prompt (256)"},
        MR_BENCH_OPTIONS(&r.bench),
    };
    const struct mr_syntax syntax = {
        .name = "bench kernels",
        .words = "[MODEL ...]",
        .about =
            "Times every kernel where models use it (microrwkv, rwkv4-169m, gpt2): decoding one token at a time, and "
            "reading a\nprompt. The last column is the share of the device's multiply-adds or bandwidth, whichever "
            "is nearer.",
        .example = "microrwkv bench kernels rwkv6-1b6 --precision f16",
        .options = options,
        .option_count = MR_COUNT(options),
        .max_words = INT_MAX,
    };
    struct mr_bench_job job = {.kind = "kernels", .measure = measure, .what = &r, .describe = describe, .begin = begin};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err &&
        (r.kernels.steps < 1 || r.kernels.prompt < 1 || r.kernels.steps > 1 << 16 || r.kernels.prompt > 1 << 16))
        err = mr_fail(MR_EINVAL, "bench kernels: --steps and --prompt must be between 1 and 65536");
    if (!err)
        err = mr_precision_by_name(r.precision, &r.kernels.precision);
    for (int i = 0; i < words.count && !err; i++)
        err = mr_str_printf(&names, "%s%s", i ? "," : "", words.word[i]);
    if (!err)
        err = mr_bench_models(names.text ? names.text : "microrwkv,rwkv4-169m,gpt2", r.kernels.prompt + r.kernels.steps,
                              &r.models, &r.count);
    job.items = r.count;
    if (!err) {
        err = mr_bench_begin(&r.bench, argc, argv);
        err = mr_bench_end(&r.bench, err ? err : mr_bench_on_devices(&r.bench, &job));
    }
    mr_str_free(&names);
    mr_bench_models_free(r.models, r.count);
    mr_words_free(&words);
    return err;
}
