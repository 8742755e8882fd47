/* SPDX-License-Identifier: GPL-3.0-or-later
 * Results of earlier measurements, read back. */
#ifndef MR_BENCH_RESULTS_H
#define MR_BENCH_RESULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A token that was timed. */
struct mr_point {
    double token, ms, bytes; /* of the device */
};

/* One model on one device, so many texts at once: the tokens that were timed. */
struct mr_series {
    const char *model, *device, *precision; /* of the lines; device: what distinguishes it */
    int texts;
    struct mr_point *points; /* [count], by rising token */
    size_t count, capacity;
    const json_t *summary; /* or NULL */
};

struct mr_device_name {
    const char *device, *platform, *name;
};

struct mr_results {
    json_t *lines; /* an array of objects */
    struct mr_device_name *devices;
    size_t device_count, device_capacity;
    struct mr_series *series;
    size_t count, capacity;
    bool several_devices, several_precisions;
};

/* Reads files of JSON lines. MR_EFILE names file and line of what is none; a last line that is not whole is passed
 * over. */
int mr_results_read(struct mr_results *results, const char *const *paths, int count);
void mr_results_free(struct mr_results *results);

/* "latency", "train", …: what a line is about. */
const char *mr_result_kind(const json_t *line);
/* A short name of the line's device: its platform where that has one device only. */
const char *mr_result_device(const struct mr_results *results, const json_t *line);
const char *mr_result_text(const json_t *line, const char *key); /* "" where there is none */
double mr_result_number(const json_t *line, const char *key);    /* NAN */

/* ---- compare.c --------------------------------------------------------------------------------------------- */

/* What became slower from one set of results to the other by more than `tolerance` (0.05) and by more than the noise of
 * either: says each compared number, the worst first. Returns how many became slower. */
struct mr_comparison {
    char what[400];
    double before, after; /* of `unit` */
    const char *unit;
    double worse, noise; /* by which part; what counts as noise */
    bool slower, faster;
};
int mr_compare(const struct mr_results *before, const struct mr_results *after, double tolerance,
               struct mr_comparison **list, int *count);

#endif
