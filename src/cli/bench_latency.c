/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench latency: models in turn, each on every device in turn. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/progress.h"
#include "bench/latency.h"
#include "cli/bench.h"
#include "formats/load.h"

enum { MOST_TEXTS = 4096 };

struct request {
    struct mr_bench bench;
    struct mr_latency latency;
    const char *precision, *at, *texts;
    struct mr_words models;
    struct mr_bench_model *list;
    int count;
    struct mr_progress bar;
    uint64_t taken; /* tokens of the present item */
};

/* "1,64,256", rising */
static int parse_numbers(const char *option, const char *text, int64_t most, int64_t **list, int *count)
{
    size_t n = 1;
    for (const char *c = text; *c; c++)
        n += *c == ',';
    if (!(*list = mr_alloc(n, sizeof **list)))
        return MR_ENOMEM;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char *end;
        long long number = strtoll(at, &end, 10);
        if (end == at || (*end && *end != ',') || number < 1 || number > most ||
            (*count && number <= (*list)[*count - 1]))
            return mr_fail(MR_EINVAL, "--%s must be rising numbers between 1 and %lld, such as 1,64,256; not \"%s\"",
                           option, (long long)most, text);
        (*list)[(*count)++] = number;
    }
    return 0;
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "";
}

static double number_of(const json_t *line, const char *key)
{
    return json_number_value(json_object_get(line, key));
}

/* Summaries only: a line for each token is for files. */
static void show(const json_t *line)
{
    char peak[24];
    if (!json_is_true(json_object_get(line, "summary")))
        return;
    printf("%-22s %4d  ", text_of(line, "model"), (int)number_of(line, "texts"));
    if (json_is_number(json_object_get(line, "median_ms")))
        printf("%9.2f %9.2f %9.2f %+10.4f %9.1f  %10s", number_of(line, "first_token_ms"), number_of(line, "median_ms"),
               number_of(line, "p99_ms"), number_of(line, "slope_ms_per_1000"), number_of(line, "total_s"),
               mr_format_bytes(peak, (uint64_t)number_of(line, "peak_device_bytes")));
    if (*text_of(line, "reason"))
        printf("  %s", text_of(line, "reason"));
    printf("\n");
    fflush(stdout);
}

static int take(void *listener, json_t *line)
{
    struct request *r = listener;
    if (json_is_true(json_object_get(line, "summary"))) {
        mr_progress_end(&r->bar);
        r->taken = 0;
    } else {
        mr_progress_update(&r->bar, ++r->taken, "token %lld: %.2f ms",
                           (long long)json_integer_value(json_object_get(line, "token")), number_of(line, "wall_ms"));
    }
    return mr_bench_put(&r->bench, line);
}

/* ---- the job --------------------------------------------------------------------------------------------------- */

static int measure(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to)
{
    const struct request *r = job->what;
    struct mr_latency latency = r->latency;
    latency.model = &r->list[job->item];
    latency.stop = r->bench.stopped;
    latency.command = r->bench.command;
    return mr_latency_measure(rt, &latency, put, to);
}

static int describe(const struct mr_bench_job *job, json_t *line)
{
    const struct request *r = job->what;
    MR_TRY(mr_json_set(line, "summary", json_true()));
    return mr_json_set(line, "model", json_string(r->list[job->item].label));
}

static void begin(const struct mr_bench_job *job, const json_t *device)
{
    (void)job;
    printf("%s (%s)\n%-22s %4s  %9s %9s %9s %10s %9s  %10s\n", text_of(device, "name"), text_of(device, "platform"),
           "model", "texts", "first ms", "median ms", "p99 ms", "ms/1000", "total s", "memory");
}

/* The largest place in a text that is measured. */
static int64_t last_position(const struct mr_latency *l)
{
    return l->at_count ? l->at[l->at_count - 1] + MR_BENCH_AT - 1 : l->tokens;
}

static int prepare(struct request *r)
{
    enum { LONGEST = 1 << 28 };
    struct mr_latency *l = &r->latency;
    if (l->tokens < 1 || l->tokens > LONGEST)
        return mr_fail(MR_EINVAL, "bench latency: --tokens must be between 1 and 2^28");
    if (l->seconds < 0)
        return mr_fail(MR_EINVAL, "bench latency: --seconds must not be negative");
    if (r->at)
        MR_TRY(parse_numbers("at", r->at, LONGEST, (int64_t **)&l->at, &l->at_count));
    MR_TRY(parse_numbers("texts", r->texts, MOST_TEXTS, (int64_t **)&l->texts, &l->texts_count));
    MR_TRY(mr_precision_by_name(r->precision, &l->precision));
    struct mr_str all = {0};
    int err = 0;
    for (int i = 0; i < r->models.count && !err; i++)
        err = mr_str_printf(&all, "%s%s", i ? "," : "", r->models.word[i]);
    if (!err)
        err = mr_bench_models(all.text ? all.text : "small", last_position(l), &r->list, &r->count);
    mr_str_free(&all);
    return err;
}

static int run(struct request *r)
{
    struct mr_bench_job job = {.kind = "latency",
                               .what = r,
                               .items = r->count,
                               .measure = measure,
                               .line = take,
                               .listener = r,
                               .describe = describe,
                               .begin = begin};
    const struct mr_latency *l = &r->latency;
    uint64_t all = (uint64_t)l->texts_count * (l->at_count ? (uint64_t)l->at_count * MR_BENCH_AT : (uint64_t)l->tokens);
    mr_progress_begin(&r->bar, stderr, "tokens", all);
    int err = mr_bench_on_devices(&r->bench, &job);
    mr_progress_end(&r->bar);
    return err;
}

static void print_models(void)
{
    puts("\nmodels: files, names with random weights, and groups:");
    for (int i = 0; mr_bench_models_help(i); i++)
        printf("  %s\n", mr_bench_models_help(i));
}

int mr_bench_latency(int argc, char **argv)
{
    struct request r = {.bench = {.patience = 600, .show = show}, .latency = {.tokens = 1024}, .texts = "1"};
    struct mr_words words = {0};
    const struct mr_option options[] = {
        {"models", MR_OPTION_LIST, &r.models, "LIST", "models, separated by commas: see below (small)"},
        {"tokens", MR_OPTION_INT, &r.latency.tokens, "N", "tokens of the text (1024)"},
        {"at", MR_OPTION_TEXT, &r.at, "LIST",
         "instead: 16 tokens at each of these positions, as if the text had come that far"},
        {"texts", MR_OPTION_TEXT, &r.texts, "LIST", "texts at once; with several numbers, one after the other (1)"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"seconds", MR_OPTION_FLOAT, &r.latency.seconds, "S",
         "end each model after S seconds; 0: at its last token (0)"},
        {"wall-only", MR_OPTION_FLAG, &r.latency.wall_only, NULL, "do without the device's own clock (device_ms)"},
        MR_BENCH_OPTIONS(&r.bench),
    };
    const struct mr_syntax syntax = {
        .name = "bench latency",
        .about =
            "Times every token of a text: from its call to its logits on the host. Each model runs on each device in "
            "a\nprocess of its own. A line of JSON for each token, then one with their summary; on a terminal the "
            "summaries.",
        .example = "microrwkv bench latency --models microrwkv,gpt2 --devices all --tokens 4096 --out latency.jsonl",
        .options = options,
        .option_count = MR_COUNT(options),
        .print_more = print_models,
    };
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err)
        err = prepare(&r);
    if (!err) {
        err = mr_bench_begin(&r.bench, argc, argv);
        err = mr_bench_end(&r.bench, err ? err : run(&r));
    }
    mr_bench_models_free(r.list, r.count);
    free((void *)r.latency.at);
    free((void *)r.latency.texts);
    mr_words_free(&r.models);
    mr_words_free(&words);
    return err;
}
