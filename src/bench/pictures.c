/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the pictures show: blocks of data, and the curves through them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "bench/plot.h"
#include "bench/statistics.h"

enum { MOST_POINTS = 160, LEAST = 16, LABEL = 160 };

/* Without what would end a quoted word of gnuplot's. */
static const char *clean(const char *text, char label[LABEL])
{
    size_t n = 0;
    for (; *text && n < LABEL - 1; text++)
        label[n++] = (unsigned char)*text < ' ' || strchr("'\"\\$`", *text) ? ' ' : *text;
    label[n] = 0;
    return label;
}

/* "model, device, precision", as far as they tell curves apart */
static const char *label_of(const struct mr_results *r, const struct mr_series *s, char label[LABEL])
{
    char all[3 * LABEL];
    snprintf(all, sizeof all, "%s%s%s%s%s", s->model, r->several_devices ? ", " : "",
             r->several_devices ? s->device : "", r->several_precisions ? ", " : "",
             r->several_precisions ? s->precision : "");
    return clean(all, label);
}

static int add_curve(struct mr_str *plot, int curve, const char *block, const char *label, const char *with)
{
    return mr_str_printf(plot, "%s$%s_%d using 1:2 with %s ls %d title '%s'", curve ? ", " : "", block, curve, with,
                         curve % MR_STYLES + 1, label);
}

/* ---- over the position --------------------------------------------------------------------------------------- */

/* Where the run of neighbours that begins at `from` and becomes one point ends: at least LEAST tokens, and more where
 * the text is long already. */
static size_t run_end(const struct mr_series *s, size_t from)
{
    const struct mr_point *p = s->points;
    double step = pow(p[s->count - 1].token / fmax(1, p[0].token) + 1, 1.0 / MOST_POINTS);
    size_t end = from + 1;
    while (end < s->count && p[end].token <= p[end - 1].token + 1 &&
           (p[end].token < p[from].token * step || end - from < LEAST))
        end++;
    return end;
}

/* Medians of runs of neighbours. The first token is left out: it finds kernels. */
static int points(const struct mr_series *s, bool bytes, struct mr_str *blocks)
{
    double *sorted = mr_alloc(s->count, sizeof *sorted);
    int count = 0, err = sorted ? 0 : MR_ENOMEM;
    for (size_t from = s->count > 1 ? 1 : 0, end; from < s->count && !err; from = end) {
        end = run_end(s, from);
        for (size_t i = from; i < end; i++)
            sorted[i - from] = bytes ? s->points[i].bytes / 0x1p20 : s->points[i].ms;
        err = mr_str_printf(blocks, "%.6g %.6g\n", (s->points[from].token + s->points[end - 1].token) / 2,
                            mr_quantile(sorted, end - from, 0.5));
        count++;
    }
    free(sorted);
    return err ? err : count;
}

/* A curve for every text alone. */
static int curves(const struct mr_results *r, const char *name,
                  int (*data)(const struct mr_series *s, struct mr_str *b), struct mr_str *blocks, struct mr_str *plot)
{
    int curve = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct mr_series *s = &r->series[i];
        char label[LABEL];
        if (s->texts != 1 || s->count < 2)
            continue;
        size_t before = blocks->size;
        MR_TRY(mr_str_printf(blocks, "$%s_%d << EOD\n", name, curve));
        int found = data(s, blocks);
        MR_TRY(found);
        if (!found) {
            blocks->text[blocks->size = before] = 0;
            continue;
        }
        MR_TRY(mr_str_printf(blocks, "EOD\n"));
        MR_TRY(add_curve(plot, curve++, name, label_of(r, s, label), s->count < 512 ? "linespoints" : "lines"));
    }
    return curve;
}

static int latency_points(const struct mr_series *s, struct mr_str *blocks)
{
    return points(s, false, blocks);
}

static int memory_points(const struct mr_series *s, struct mr_str *blocks)
{
    return points(s, true, blocks);
}

/* Only of texts that were timed from the start on, without gaps. */
static int total_points(const struct mr_series *s, struct mr_str *blocks)
{
    double sum = 0;
    size_t step = s->count / MOST_POINTS + 1;
    for (size_t i = 0; i < s->count; i++)
        if (s->points[i].token != (double)(i + 1))
            return 0;
    for (size_t i = 0; i < s->count; i++) {
        sum += s->points[i].ms / 1e3;
        if (i % step == 0 || i + 1 == s->count)
            MR_TRY(mr_str_printf(blocks, "%.6g %.6g\n", s->points[i].token, sum));
    }
    return 1;
}

int mr_draw_latency(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    return curves(r, "latency", latency_points, blocks, plot);
}

int mr_draw_total(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    return curves(r, "total", total_points, blocks, plot);
}

int mr_draw_memory(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    return curves(r, "memory", memory_points, blocks, plot);
}

/* ---- by model -------------------------------------------------------------------------------------------------- */

/* The place of the first series with this model's name: its bar's. */
static int place_of(const struct mr_results *r, const struct mr_series *s)
{
    int place = 0;
    for (size_t i = 0; i < r->count; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || !strcmp(r->series[j].model, r->series[i].model);
        if (!strcmp(r->series[i].model, s->model))
            return place;
        place += !again;
    }
    return place;
}

static bool is_first_of_model(const struct mr_results *r, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!strcmp(r->series[j].model, r->series[i].model) && r->series[j].texts == 1)
            return false;
    return true;
}

/* A block of bars for each device and precision. */
int mr_draw_first(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    int group = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct mr_series *first = &r->series[i];
        char label[LABEL];
        bool again = false;
        int bars = 0;
        for (size_t j = 0; j < i; j++)
            again = again ||
                    (!strcmp(r->series[j].device, first->device) && !strcmp(r->series[j].precision, first->precision));
        if (again)
            continue;
        MR_TRY(mr_str_printf(blocks, "$first_token_%d << EOD\n", group));
        for (size_t j = i; j < r->count; j++) {
            const struct mr_series *s = &r->series[j];
            double ms = s->summary ? mr_result_number(s->summary, "first_token_ms") : NAN;
            if (s->texts != 1 || strcmp(s->device, first->device) || strcmp(s->precision, first->precision) ||
                !(ms > 0) || !s->count || s->points[0].token != 1)
                continue;
            MR_TRY(mr_str_printf(blocks, "%g \"%s\" %.6g\n", place_of(r, s) + 0.2 * group,
                                 is_first_of_model(r, j) ? clean(s->model, label) : "", ms));
            bars++;
        }
        MR_TRY(mr_str_printf(blocks, "EOD\n"));
        if (!bars)
            continue;
        char device[2 * LABEL];
        snprintf(device, sizeof device, "%s, %s", first->device, first->precision);
        MR_TRY(mr_str_printf(plot, "%s$first_token_%d using 1:3:(0.18):xtic(2) with boxes ls %d title '%s'",
                             plot->size ? ", " : "", group, group % MR_STYLES + 1, clean(device, label)));
        group++;
    }
    return plot->size ? group : 0;
}

/* Curves of the models that were run with different numbers of texts. */
int mr_draw_throughput(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    int curve = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct mr_series *first = &r->series[i];
        char label[LABEL];
        int found = 0;
        bool again = false;
        size_t before = blocks->size;
        for (size_t j = 0; j < i; j++)
            again =
                again || (!strcmp(r->series[j].model, first->model) && !strcmp(r->series[j].device, first->device) &&
                          !strcmp(r->series[j].precision, first->precision));
        if (again)
            continue;
        MR_TRY(mr_str_printf(blocks, "$throughput_%d << EOD\n", curve));
        for (size_t j = i; j < r->count; j++) {
            const struct mr_series *s = &r->series[j];
            double ms = s->summary ? mr_result_number(s->summary, "median_ms") : NAN;
            if (strcmp(s->model, first->model) || strcmp(s->device, first->device) ||
                strcmp(s->precision, first->precision) || !(ms > 0))
                continue;
            MR_TRY(mr_str_printf(blocks, "%d %.6g\n", s->texts, 1e3 * s->texts / ms));
            found++;
        }
        if (found < 2) {
            blocks->text[blocks->size = before] = 0;
            continue;
        }
        MR_TRY(mr_str_printf(blocks, "EOD\n"));
        MR_TRY(add_curve(plot, curve++, "throughput", label_of(r, first, label), "linespoints"));
    }
    return curve;
}

/* ---- kernels below their roof ---------------------------------------------------------------------------------- */

static int add_kernels(const struct mr_results *r, const char *device, int group, struct mr_str *blocks,
                       double limits[2])
{
    size_t i;
    json_t *line;
    int count = 0;
    MR_TRY(mr_str_printf(blocks, "$kernels_%d << EOD\n", group));
    json_array_foreach(r->lines, i, line) {
        double gflops = mr_result_number(line, "gflops"), bandwidth = mr_result_number(line, "gb_per_s");
        const json_t *most = json_object_get(line, "limits");
        char label[LABEL];
        if (strcmp(mr_result_kind(line), "kernels") || strcmp(mr_result_device(r, line), device) || !(gflops > 0) ||
            !(bandwidth > 0))
            continue;
        limits[0] = mr_result_number(most, "gflops");
        limits[1] = mr_result_number(most, "gb_per_s");
        MR_TRY(mr_str_printf(blocks, "%.6g %.6g \"%s\"\n", gflops / bandwidth, gflops,
                             clean(mr_result_text(line, "kernel"), label)));
        count++;
    }
    MR_TRY(mr_str_printf(blocks, "EOD\n"));
    return count;
}

int mr_draw_kernels(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot)
{
    const char *devices[MR_STYLES];
    int groups = 0;
    size_t i;
    json_t *line;
    json_array_foreach(r->lines, i, line) {
        const char *device = mr_result_device(r, line);
        double limits[2] = {0};
        char label[LABEL];
        bool again = false;
        for (int j = 0; j < groups; j++)
            again = again || !strcmp(devices[j], device);
        if (strcmp(mr_result_kind(line), "kernels") || again || groups == MR_STYLES)
            continue;
        int found = add_kernels(r, device, groups, blocks, limits);
        MR_TRY(found);
        if (!found)
            continue;
        MR_TRY(mr_str_printf(plot,
                             "%s[0.02:200] (x * %.6g < %.6g ? x * %.6g : %.6g) with lines ls %d title 'roof of %s', "
                             "$kernels_%d using 1:2 with points ls %d notitle, $kernels_%d using 1:2:3 with labels "
                             "left offset 0.7,0.3 font ',9' textcolor ls 100 notitle",
                             groups ? ", " : "", limits[1], limits[0], limits[1], limits[0], groups + 1,
                             clean(device, label), groups, groups + 1, groups));
        devices[groups++] = device;
    }
    return groups;
}
