/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench plot, report and compare: what came of measurements. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/plot.h"
#include "bench/report.h"
#include "cli/bench.h"

/* The results of all files that the command names; it needs --out. */
static int read_results(const struct mr_syntax *syntax, int argc, char **argv, const char *const *out,
                        struct mr_results *results)
{
    struct mr_words words = {0};
    int err = mr_options_parse(syntax, argc, argv, &words);
    if (!err && !*out)
        err = mr_fail(MR_EINVAL, "%s: --out is required (see %s --help)", syntax->name, syntax->name);
    if (!err)
        err = mr_results_read(results, words.word, words.count);
    mr_words_free(&words);
    return err;
}

int mr_bench_plot(int argc, char **argv)
{
    const char *out = NULL;
    struct mr_results results = {0};
    bool drawn[MR_PICTURES] = {false};
    const struct mr_option options[] = {{"out", MR_OPTION_TEXT, &out, "DIR", "the folder for the pictures"}};
    const struct mr_syntax syntax = {
        .name = "bench plot",
        .words = "FILES...",
        .about = "Draws results as pictures, with gnuplot: SVG and PNG, for light and for dark ground.",
        .example = "microrwkv bench plot latency.jsonl --out pictures",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 1,
        .max_words = INT_MAX,
    };
    int err = read_results(&syntax, argc, argv, &out, &results);
    if (!err)
        err = mr_plot(&results, out, drawn);
    for (int i = 0; !err && mr_picture(i); i++)
        if (drawn[i])
            fprintf(stderr, "%s/%s-light.svg, -dark.svg, .png: %s\n", out, mr_picture(i)->name, mr_picture(i)->title);
    mr_results_free(&results);
    return err;
}

int mr_bench_report(int argc, char **argv)
{
    const char *out = NULL;
    struct mr_results results = {0};
    const struct mr_option options[] = {{"out", MR_OPTION_TEXT, &out, "PAGE.html", "the page to write"}};
    const struct mr_syntax syntax = {
        .name = "bench report",
        .words = "FILES...",
        .about = "Writes one page of results: pictures, tables, devices and command lines. It needs no network.",
        .example = "microrwkv bench report latency.jsonl limits.jsonl --out report.html",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 1,
        .max_words = INT_MAX,
    };
    int err = read_results(&syntax, argc, argv, &out, &results);
    if (!err)
        err = mr_report(&results, out);
    mr_results_free(&results);
    return err;
}

static int say(const struct mr_comparison *list, int count, bool json)
{
    for (int i = 0; i < count; i++) {
        const struct mr_comparison *c = &list[i];
        const char *verdict = c->slower ? "slower" : c->faster ? "faster" : "same";
        if (json)
            MR_TRY(mr_print_json(json_pack("{ss sf sf ss sf sf ss}", "what", c->what, "before", c->before, "after",
                                           c->after, "unit", c->unit, "worse", c->worse, "noise", c->noise, "verdict",
                                           verdict)));
        else
            printf("%-7s %+7.1f%%  (noise %4.1f%%)  %10.4g -> %10.4g %-6s  %s\n", verdict, 100 * c->worse,
                   100 * c->noise, c->before, c->after, c->unit, c->what);
    }
    return 0;
}

int mr_bench_compare(int argc, char **argv)
{
    struct mr_words words = {0};
    struct mr_results before = {0}, after = {0};
    struct mr_comparison *list = NULL;
    double tolerance = 0.05;
    bool json = false;
    int count = 0;
    const struct mr_option options[] = {
        {"tolerance", MR_OPTION_FLOAT, &tolerance, "X", "the least part that counts, whatever the noise (0.05)"},
        {"json", MR_OPTION_FLAG, &json, NULL, "print JSON, one object per line"},
    };
    const struct mr_syntax syntax = {
        .name = "bench compare",
        .words = "BEFORE.jsonl AFTER.jsonl",
        .about = "Says what became slower, and exits with 1 if anything did by more than the noise of the runs. A file "
                 "may hold\nseveral runs: the more there are, the better noise is known.",
        .example = "microrwkv bench compare yesterday.jsonl today.jsonl",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 2,
        .max_words = 2,
    };
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !(tolerance >= 0))
        err = mr_fail(MR_EINVAL, "bench compare: --tolerance must not be negative");
    if (!err)
        err = mr_results_read(&before, words.word, 1);
    if (!err)
        err = mr_results_read(&after, words.word + 1, 1);
    if (!err) {
        int slower = mr_compare(&before, &after, tolerance, &list, &count);
        err = slower < 0 ? slower : say(list, count, json);
        if (!err && slower)
            err = mr_fail(MR_EDEVICE, "%d of %d measurements became slower", slower, count);
    }
    free(list);
    mr_results_free(&before);
    mr_results_free(&after);
    mr_words_free(&words);
    return err;
}
