/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products of models' shapes: how fast they are, and which tiles make them fastest. */
#ifndef MR_BENCH_GEMM_H
#define MR_BENCH_GEMM_H

#include <signal.h>

#include "base/str.h"
#include "model/config.h"
#include "rt/gemm_table.h"

struct mr_shapes {
    struct mr_gemm *list; /* m, n, k, trans_a, trans_b */
    size_t count, capacity;
};

/* Adds the products of a model's matrices with `rows` rows, forward and backward, but for those that are there. */
int mr_shapes_add(struct mr_shapes *shapes, const struct mr_config *cfg, int rows);
int mr_shapes_add_one(struct mr_shapes *shapes, const struct mr_gemm *g);
void mr_shapes_free(struct mr_shapes *shapes);

/* The fastest of several runs in GFLOPS, and how far their median is from it, as a part of it. At least `seconds`. */
int mr_gemm_time(mr_runtime *rt, const struct mr_gemm *g, double seconds, double *gflops, double *noise);

/* ---- tune.c ----------------------------------------------------------------------------------------------------- */

/* What was found for the products of one class and transposition. */
struct mr_tuned {
    enum mr_gemm_class size;
    bool trans_a, trans_b;
    double before, after; /* GFLOPS with the table in force, and with `rule` */
    char rule[100];       /* provider and tiles, as in data/tune/ */
};

/* Tries providers and tiles on every shape, class by class; tells each class when it is done. Appends the table to
 * `text`, with the rules of the table in force behind
 * it for all else. stop: not 0 ends it with MR_EINTERRUPTED. */
int mr_tune(mr_runtime *rt, const struct mr_shapes *shapes, void (*found)(void *context, const struct mr_tuned *tuned),
            void *context, const volatile sig_atomic_t *stop, struct mr_str *text);

#endif
