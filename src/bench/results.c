/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/results.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

static const size_t largest_file = (size_t)1 << 32;

const char *mr_result_text(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "";
}

double mr_result_number(const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *mr_result_kind(const json_t *line)
{
    return mr_result_text(line, "bench");
}

const char *mr_result_device(const struct mr_results *r, const json_t *line)
{
    const char *device = mr_result_text(line, "device"), *platform = mr_result_text(line, "platform");
    for (size_t i = 0; i < r->device_count; i++)
        if (!strcmp(r->devices[i].device, device) && !strcmp(r->devices[i].platform, platform))
            return r->devices[i].name;
    return device;
}

static const char *short_platform(const char *platform)
{
    return !strcmp(platform, "Portable Computing Language") ? "PoCL" : platform;
}

/* The line's device among the known ones, which go by their platform's name where it has no other. */
static int know_device(struct mr_results *r, const json_t *line)
{
    const char *device = mr_result_text(line, "device"), *platform = mr_result_text(line, "platform");
    bool others = false;
    for (size_t i = 0; i < r->device_count; i++) {
        bool near = !strcmp(r->devices[i].platform, platform);
        if (near && !strcmp(r->devices[i].device, device))
            return 0;
        if (near)
            r->devices[i].name = r->devices[i].device;
        others = others || near;
    }
    MR_TRY(mr_grow(&r->devices, &r->device_capacity, r->device_count + 1, sizeof *r->devices));
    r->devices[r->device_count++] =
        (struct mr_device_name){device, platform, others || !*platform ? device : short_platform(platform)};
    return 0;
}

static int read_file(struct mr_results *r, const char *path)
{
    struct mr_str text = {0};
    int err, number = 0;
    MR_GO(mr_file_read(path, largest_file, &text));
    for (size_t at = 0, n; at < text.size; at += n) {
        const char *end = memchr(text.text + at, '\n', text.size - at);
        json_t *line = NULL;
        n = end ? (size_t)(end - (text.text + at)) + 1 : text.size - at;
        number++;
        if (strspn(text.text + at, " \t\r\n") >= n)
            continue;
        line = json_loadb(text.text + at, n, 0, NULL);
        if (!line && at + n == text.size && !end)
            break; /* the writer was stopped in its middle */
        if (!json_is_object(line) || !*mr_result_kind(line)) {
            json_decref(line);
            MR_GO(mr_fail(MR_EFILE, "%s:%d: not a line of results that `microrwkv bench` wrote", path, number));
        }
        MR_GO(mr_json_append(r->lines, line));
    }
    if (!err && !number)
        err = mr_fail(MR_EFILE, "%s holds no results", path);
fail:
    mr_str_free(&text);
    return err;
}

/* ---- series -------------------------------------------------------------------------------------------------- */

static struct mr_series *series_of(struct mr_results *r, const json_t *line)
{
    const char *model = mr_result_text(line, "model"), *device = mr_result_device(r, line);
    const char *precision = mr_result_text(line, "precision");
    int texts = (int)json_integer_value(json_object_get(line, "texts"));
    for (size_t i = r->count; i-- > 0;) { /* mostly the last one */
        struct mr_series *s = &r->series[i];
        if (!strcmp(s->model, model) && !strcmp(s->device, device) && !strcmp(s->precision, precision) &&
            s->texts == texts)
            return s;
    }
    if (mr_grow(&r->series, &r->capacity, r->count + 1, sizeof *r->series) < 0)
        return NULL;
    if (r->count) {
        r->several_devices = r->several_devices || strcmp(r->series[0].device, device);
        r->several_precisions = r->several_precisions || strcmp(r->series[0].precision, precision);
    }
    r->series[r->count] = (struct mr_series){.model = model, .device = device, .precision = precision, .texts = texts};
    return &r->series[r->count++];
}

static int add_token(struct mr_series *s, const json_t *line)
{
    MR_TRY(mr_grow(&s->points, &s->capacity, s->count + 1, sizeof *s->points));
    s->points[s->count++] = (struct mr_point){mr_result_number(line, "token"), mr_result_number(line, "wall_ms"),
                                              mr_result_number(line, "device_bytes")};
    return 0;
}

static int by_token(const void *a, const void *b)
{
    double x = ((const struct mr_point *)a)->token, y = ((const struct mr_point *)b)->token;
    return (x > y) - (x < y);
}

/* Lines of a process that died have no number of texts: they are no series. */
static int sort_out(struct mr_results *r)
{
    size_t i;
    json_t *line;
    json_array_foreach(r->lines, i, line)
        MR_TRY(know_device(r, line));
    json_array_foreach(r->lines, i, line) {
        if (strcmp(mr_result_kind(line), "latency") || !json_object_get(line, "texts"))
            continue;
        struct mr_series *s = series_of(r, line);
        if (!s)
            return MR_ENOMEM;
        if (json_is_true(json_object_get(line, "summary")))
            s->summary = line;
        else
            MR_TRY(add_token(s, line));
    }
    for (i = 0; i < r->count; i++)
        if (r->series[i].count)
            qsort(r->series[i].points, r->series[i].count, sizeof *r->series[i].points, by_token);
    return 0;
}

int mr_results_read(struct mr_results *r, const char *const *paths, int count)
{
    *r = (struct mr_results){.lines = json_array()};
    int err = r->lines ? 0 : mr_fail(MR_ENOMEM, "out of memory for results");
    for (int i = 0; i < count && !err; i++)
        err = read_file(r, paths[i]);
    return err ? err : sort_out(r);
}

void mr_results_free(struct mr_results *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->series[i].points);
    free(r->series);
    free(r->devices);
    json_decref(r->lines);
    *r = (struct mr_results){0};
}
