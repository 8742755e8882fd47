/* SPDX-License-Identifier: GPL-3.0-or-later
 * The states of a decoding step: R rows of one token, each of a text of its own. What a row computes depends on its
 * own numbers alone, down to the bits. */
#ifndef MR_OPS_SLOTS_H
#define MR_OPS_SLOTS_H

#include "ops/check.h"

struct mr_slots {
    const mr_tensor *state; /* [slots,stride] floats */
    const mr_tensor *of;    /* i32 [R]: the slot of each row; no two rows share one */
    int stride;             /* floats from slot to slot */
};

/* MR_EINVAL unless `rows` slots of `size` floats and the numbers of as many rows are there. */
int mr_need_slots(const char *op, const struct mr_slots *slots, int rows, size_t size);

/* A recurrence's sizes: *dim = heads * width, *n = rows * *dim. MR_EINVAL unless all are positive, the width is at most
 * `widest`, and kernels can count the numbers. */
int mr_need_heads(const char *op, int rows, int heads, int width, int widest, size_t *dim, size_t *n);

#endif
