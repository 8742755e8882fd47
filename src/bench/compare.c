/* SPDX-License-Identifier: GPL-3.0-or-later
 * What became slower: each number is compared with the one of the same measurement. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "bench/results.h"
#include "bench/statistics.h"

enum { MOST_REPEATS = 64 };

/* The numbers of each kind of line, and the keys that tell which measurement it is. */
static const struct number {
    const char *kind, *key, *unit;
    bool more; /* is better */
    const char *names[8];
} numbers[] = {
    {"latency", "median_ms", "ms", false, {"model", "precision", "texts"}},
    {"train", "step_ms_median", "ms", false, {"family", "config"}},
    {"gemm", "gflops", "GFLOPS", true, {"m", "n", "k", "trans_a", "trans_b", "provider"}},
    {"kernels", "us", "us", false, {"kernel", "variant", "shape"}},
    {"limits", "gflops", "GFLOPS", true, {NULL}},
    {"limits", "gb_per_s", "GB/s", true, {NULL}},
};

/* "latency gpt2 f32 1 on Device (Platform)" */
static void name_of(const struct number *n, const json_t *line, char *text, size_t size)
{
    snprintf(text, size, "%s", n->kind);
    for (int i = 0; n->names[i]; i++) {
        char *value = json_dumps(json_object_get(line, n->names[i]), JSON_ENCODE_ANY | JSON_COMPACT);
        char *from = value && *value == '"' ? value + 1 : value;
        if (from != value && *from)
            from[strlen(from) - 1] = 0;
        snprintf(text + strlen(text), size - strlen(text), " %s", from ? from : "-");
        free(value);
    }
    snprintf(text + strlen(text), size - strlen(text), " on %s (%s)", mr_result_text(line, "device"),
             mr_result_text(line, "platform"));
}

/* The median of the number over the lines of that name, and its noise: what the lines say of themselves, or how far
 * repetitions lie apart. 0: there is none. */
static int find(const struct mr_results *r, const struct number *n, const char *name, double *value, double *noise)
{
    double values[MOST_REPEATS];
    char other[400];
    size_t i, count = 0;
    json_t *line;
    *noise = 0;
    json_array_foreach(r->lines, i, line) {
        double x = mr_result_number(line, n->key);
        if (strcmp(mr_result_kind(line), n->kind) || !(x > 0) || count == MOST_REPEATS)
            continue;
        name_of(n, line, other, sizeof other);
        if (strcmp(other, name))
            continue;
        values[count++] = x;
        *noise = fmax(*noise, json_number_value(json_object_get(line, "noise")));
    }
    if (!count)
        return 0;
    *value = mr_quantile(values, count, 0.5);
    *noise = fmax(*noise, (values[count - 1] - values[0]) / *value / 2);
    return 1;
}

static bool is_listed(const struct mr_comparison *list, int count, const char *what, const char *unit)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].what, what) && !strcmp(list[i].unit, unit))
            return true;
    return false;
}

static int by_loss(const void *a, const void *b)
{
    double x = ((const struct mr_comparison *)a)->worse, y = ((const struct mr_comparison *)b)->worse;
    return (x < y) - (x > y);
}

/* Compares what the line holds, where the other results hold it too. */
static int add(const struct mr_results *before, const struct mr_results *after, const struct number *n,
               const json_t *line, double tolerance, struct mr_comparison **list, size_t *capacity, int *count)
{
    struct mr_comparison c = {.unit = n->unit};
    double noise;
    name_of(n, line, c.what, sizeof c.what);
    if (is_listed(*list, *count, c.what, c.unit) || !find(before, n, c.what, &c.before, &c.noise) ||
        !find(after, n, c.what, &c.after, &noise))
        return 0;
    c.noise = fmax(tolerance, fmax(c.noise, noise));
    c.worse = n->more ? c.before / c.after - 1 : c.after / c.before - 1;
    c.slower = c.worse > c.noise;
    c.faster = (n->more ? c.after / c.before - 1 : c.before / c.after - 1) > c.noise;
    MR_TRY(mr_grow(list, capacity, (size_t)*count + 1, sizeof **list));
    (*list)[(*count)++] = c;
    return 0;
}

int mr_compare(const struct mr_results *before, const struct mr_results *after, double tolerance,
               struct mr_comparison **list, int *count)
{
    size_t capacity = 0, i;
    int slower = 0;
    json_t *line;
    *list = NULL;
    *count = 0;
    json_array_foreach(before->lines, i, line)
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            if (!strcmp(mr_result_kind(line), numbers[k].kind) && mr_result_number(line, numbers[k].key) > 0)
                MR_TRY(add(before, after, &numbers[k], line, tolerance, list, &capacity, count));
    if (!*count)
        return mr_fail(MR_EFILE, "the two have no measurement in common: same models, devices and sizes are compared");
    qsort(*list, (size_t)*count, sizeof **list, by_loss);
    for (int k = 0; k < *count; k++)
        slower += (*list)[k].slower;
    return slower;
}
