/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench gemm: matrix products of models' shapes. */
#include <limits.h>
#include <stdlib.h>

#include "base/json.h"
#include "bench/facts.h"
#include "bench/gemm.h"
#include "bench/limits.h"
#include "bench/models.h"
#include "cli/bench.h"

struct request {
    struct mr_bench bench;
    struct mr_shapes shapes;
    double seconds;
};

static int put_product(mr_runtime *rt, const struct mr_bench_job *job, const struct mr_gemm *g,
                       const struct mr_limits *limits, int (*put)(void *to, json_t *line), void *to)
{
    const struct request *r = job->what;
    const struct mr_device_info *device = mr_runtime_info(rt);
    double gflops, noise;
    MR_TRY(mr_gemm_time(rt, g, r->seconds, &gflops, &noise));
    json_t *rest = json_pack("{si si si sb sb ss sf sf sf}", "m", g->m, "n", g->n, "k", g->k, "trans_a", g->trans_a,
                             "trans_b", g->trans_b, "provider", mr_gemm_provider(rt, g), "gflops", gflops, "noise",
                             noise, "share_of_limit", mr_limits_share(limits, gflops, 0));
    return mr_bench_hand_on("gemm", device, rest, job->bench->command, put, to);
}

static int measure(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to)
{
    const struct request *r = job->what;
    struct mr_limits limits;
    MR_TRY(mr_limits_measure(rt, r->seconds, &limits));
    for (size_t i = 0; i < r->shapes.count && !*r->bench.stopped; i++)
        MR_TRY(put_product(rt, job, &r->shapes.list[i], &limits, put, to));
    return 0;
}

static void show(const json_t *line)
{
    if (json_object_get(line, "reason"))
        return;
    printf("%7d %7d %7d  %s%s  %-8s %9.1f GFLOPS %5.0f%%\n", (int)json_integer_value(json_object_get(line, "m")),
           (int)json_integer_value(json_object_get(line, "n")), (int)json_integer_value(json_object_get(line, "k")),
           json_is_true(json_object_get(line, "trans_a")) ? "t" : "n",
           json_is_true(json_object_get(line, "trans_b")) ? "t" : "n",
           json_string_value(json_object_get(line, "provider")), json_number_value(json_object_get(line, "gflops")),
           100 * json_number_value(json_object_get(line, "share_of_limit")));
    fflush(stdout);
}

static void begin(const struct mr_bench_job *job, const json_t *device)
{
    (void)job;
    printf("%s (%s)\n%7s %7s %7s  op  %-8s %16s  of the limit\n", json_string_value(json_object_get(device, "name")),
           json_string_value(json_object_get(device, "platform")), "m", "n", "k", "by", "speed");
}

static int add_shapes(struct request *r, const struct mr_words *words, int64_t rows)
{
    struct mr_bench_model *models = NULL;
    struct mr_str names = {0};
    int count = 0, err = 0;
    if (rows < 1 || rows > 1 << 20)
        return mr_fail(MR_EINVAL, "bench gemm: --rows must be between 1 and 2^20");
    for (int i = 0; i < words->count && !err; i++)
        err = mr_str_printf(&names, "%s%s", i ? "," : "", words->word[i]);
    if (!err)
        err = mr_bench_models(names.text ? names.text : "microrwkv,gpt2", 1, &models, &count);
    for (int i = 0; i < count && !err; i++)
        err = mr_shapes_add(&r->shapes, &models[i].cfg, (int)rows);
    if (!err && !words->count)
        err = mr_shapes_add_one(&r->shapes, &(struct mr_gemm){.m = 1024, .n = 1024, .k = 1024});
    mr_str_free(&names);
    mr_bench_models_free(models, count);
    return err;
}

int mr_bench_gemm(int argc, char **argv)
{
    struct request r = {.bench = {.patience = 600, .show = show}, .seconds = 0.3};
    struct mr_words words = {0};
    int64_t rows = 512;
    const struct mr_option options[] = {
        {"rows", MR_OPTION_INT, &rows, "N", "tokens of a batch (512)"},
        {"seconds", MR_OPTION_FLOAT, &r.seconds, "S", "how long each product is measured (0.3)"},
        MR_BENCH_OPTIONS(&r.bench),
    };
    const struct mr_syntax syntax = {
        .name = "bench gemm",
        .words = "[MODEL ...]",
        .about = "Times the matrix products that models take, forward and backward (microrwkv, gpt2, and a cube), and "
                 "says\nwhich share of the device's multiply-adds each reaches.",
        .example = "microrwkv bench gemm gpt2 --rows 1024",
        .options = options,
        .option_count = MR_COUNT(options),
        .max_words = INT_MAX,
    };
    struct mr_bench_job job = {.kind = "gemm", .measure = measure, .what = &r, .begin = begin};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !(r.seconds >= 0 && r.seconds <= 60))
        err = mr_fail(MR_EINVAL, "bench gemm: --seconds must be between 0 and 60");
    if (!err)
        err = add_shapes(&r, &words, rows);
    if (!err) {
        err = mr_bench_begin(&r.bench, argc, argv);
        err = mr_bench_end(&r.bench, err ? err : mr_bench_on_devices(&r.bench, &job));
    }
    mr_shapes_free(&r.shapes);
    mr_words_free(&words);
    return err;
}
