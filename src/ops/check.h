/* SPDX-License-Identifier: GPL-3.0-or-later
 * What every op does before it launches: arguments are checked, the shape of the launch is picked. */
#ifndef MR_OPS_CHECK_H
#define MR_OPS_CHECK_H

#include "rt/rt.h"

/* MR_EINVAL, naming the operation and the tensor, unless t holds at least `count` elements of that type. */
int mr_need_f32(const char *op, const char *name, const mr_tensor *t, size_t count);
int mr_need_i32(const char *op, const char *name, const mr_tensor *t, size_t count);

/* MR_EINVAL unless rows and dim are positive and rows * dim is at most 2^30; the product is put in *count. */
int mr_need_shape(const char *op, int rows, int dim, size_t *count);

/* MR_EINVAL unless 1 <= n <= 2^30. */
int mr_need_count(const char *op, size_t n);

/* Whether a tensor was given: NULL and {0} are none. */
static inline bool mr_given(const mr_tensor *t)
{
    return t && t->mem;
}

/* For kernels that walk FOR_ITEMS(block, VECTORS(n)): element-wise by vectors of the device. */
struct mr_range mr_vectors(const mr_runtime *rt, size_t n);

/* For kernels that walk FOR_ROWS(row, rows), rows of dim floats: a group per row where work-items share a
 * row, elsewhere groups of several rows, each worth some microseconds. */
struct mr_range mr_row_shares(const mr_runtime *rt, size_t rows, size_t dim);

/* Groups of consecutive rows, for kernels that leave one partial sum over rows per group; at most 64 on a
 * CPU. */
size_t mr_row_blocks(const mr_runtime *rt, size_t rows);

#endif
