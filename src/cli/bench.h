/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the parts of `bench` share: devices one after the other, each in a process of its own, and where results go. */
#ifndef MR_CLI_BENCH_H
#define MR_CLI_BENCH_H

#include <stdio.h>

#include "bench/child.h"
#include "cli/cli.h"

struct mr_bench {
    const char *devices, *out;
    bool json, text;
    double patience;
    const volatile sig_atomic_t *stopped;
    char *command;                    /* as it was given */
    FILE *file;                       /* out, or NULL */
    void (*show)(const json_t *line); /* a line for people */
    int failures;
};

#define MR_BENCH_OPTIONS(b)                                                                                           \
    {"devices", MR_OPTION_TEXT, &(b)->devices, "LIST", "all, or indices and parts of names: 0,intel (the fastest)"},  \
        {"device", MR_OPTION_TEXT, &(b)->devices, "D", NULL},                                                         \
        {"timeout", MR_OPTION_FLOAT, &(b)->patience, "S", "give a device up after S seconds without a result (600)"}, \
        {"out", MR_OPTION_TEXT, &(b)->out, "FILE", "append the results to FILE, as JSON lines"},                      \
        {"json", MR_OPTION_FLAG, &(b)->json, NULL, "print JSON, as it does anyway where stdout is no terminal"},      \
    {                                                                                                                 \
        "text", MR_OPTION_FLAG, &(b)->text, NULL, "print for people, as it does anyway on a terminal"                 \
    }

/* After parsing: opens `out`, remembers the command line, catches signals. */
int mr_bench_begin(struct mr_bench *b, int argc, char **argv);
/* Closes; err, or what writing gave. 130 where it was stopped. */
int mr_bench_end(struct mr_bench *b, int err);
/* Prints and keeps a line of results; takes it over. For struct mr_child. */
int mr_bench_put(void *bench, json_t *line);

/* What is measured on every device, item after item, each in a process of its own. */
struct mr_bench_job {
    struct mr_bench *bench;
    const char *kind; /* "limits" */
    const void *what; /* the caller's */
    int items;        /* 0 counts as 1 */
    int item;         /* of the present one */
    int index;        /* of the device */
    int (*measure)(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to);
    int (*line)(void *listener, json_t *line); /* NULL: mr_bench_put */
    void *listener;
    /* Adds to the line of an item that failed what it was; or NULL. */
    int (*describe)(const struct mr_bench_job *job, json_t *line);
    void (*begin)(const struct mr_bench_job *job, const json_t *device); /* before the first item; or NULL */
};
/* The job on every device of the list; what fails is said and counted, and the others get their turn. */
int mr_bench_on_devices(struct mr_bench *b, struct mr_bench_job *job);

/* The parts. argv[0] is "bench latency" and so on. */
mr_command mr_bench_latency, mr_bench_train, mr_bench_gemm, mr_bench_kernels, mr_bench_limits, mr_bench_plot,
    mr_bench_report, mr_bench_compare;

#endif
