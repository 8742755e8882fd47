/* SPDX-License-Identifier: GPL-3.0-or-later
 * What each kernel reaches where models use it: in a step of decoding and in a piece of a prompt. */
#ifndef MR_BENCH_KERNELS_H
#define MR_BENCH_KERNELS_H

#include <signal.h>

#include "bench/models.h"

struct mr_kernel_bench {
    const struct mr_bench_model *model;
    int precision; /* enum mr_element, or MR_PRECISION_OF_FILE */
    int64_t steps, prompt;
    const char *command;
    const volatile sig_atomic_t *stop;
};

/* A line for each kernel of either use. */
int mr_kernels_measure(mr_runtime *rt, const struct mr_kernel_bench *b, int (*put)(void *to, json_t *line), void *to);

#endif
