/* SPDX-License-Identifier: GPL-3.0-or-later
 * How long a token takes, and how that changes as a text grows. */
#ifndef MR_BENCH_LATENCY_H
#define MR_BENCH_LATENCY_H

#include <signal.h>

#include "bench/models.h"

enum { MR_BENCH_AT = 16 /* tokens timed at each position of `at` */ };

struct mr_latency {
    const struct mr_bench_model *model;
    int precision;        /* enum mr_element, or MR_PRECISION_OF_FILE */
    int64_t tokens;       /* of a text, from its first one on; without `at` */
    const int64_t *at;    /* positions, 1 being the first token; rising */
    int at_count;         /* 0: from the start on */
    const int64_t *texts; /* so many texts at once, one after the other */
    int texts_count;
    bool wall_only;                    /* the device's own clock is left alone */
    double seconds;                    /* for each number of texts, at most; 0: no limit */
    const volatile sig_atomic_t *stop; /* not 0: what was measured is summed up */
    const char *command;
};

/* Measures on one device. Hands on a line for each token, and behind those of a number of texts one with "summary". A
 * model that does not fit is a summary with a reason. */
int mr_latency_measure(mr_runtime *rt, const struct mr_latency *l, int (*put)(void *to, json_t *line), void *to);

#endif
