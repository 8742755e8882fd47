/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/check.h"

#include "base/alloc.h"

static const size_t LIMIT = (size_t)1 << 30; /* elements of a tensor */

static int need(const char *op, const char *name, const mr_tensor *t, size_t count, enum mr_element dtype)
{
    if (!mr_given(t))
        return mr_fail(MR_EINVAL, "%s: %s is missing, %zu elements are needed", op, name, count);
    if (t->dtype != dtype)
        return mr_fail(MR_EINVAL, "%s: %s must hold %s", op, name, dtype == MR_F32 ? "floats" : "integers");
    if (t->count < count)
        return mr_fail(MR_EINVAL, "%s: %s has %zu elements, %zu are needed", op, name, t->count, count);
    return 0;
}

int mr_need_f32(const char *op, const char *name, const mr_tensor *t, size_t count)
{
    return need(op, name, t, count, MR_F32);
}

int mr_need_i32(const char *op, const char *name, const mr_tensor *t, size_t count)
{
    return need(op, name, t, count, MR_I32);
}

int mr_need_shape(const char *op, int rows, int dim, size_t *count)
{
    if (rows < 1 || dim < 1)
        return mr_fail(MR_EINVAL, "%s: %d rows of %d are not a shape, both must be positive", op, rows, dim);
    *count = (size_t)rows * (size_t)dim;
    if (*count > LIMIT)
        return mr_fail(MR_EINVAL, "%s: %d rows of %d exceed 2^30 elements, split the rows", op, rows, dim);
    return 0;
}

int mr_need_count(const char *op, size_t n)
{
    if (n < 1 || n > LIMIT)
        return mr_fail(MR_EINVAL, "%s: a count of %zu is not between 1 and 2^30", op, n);
    return 0;
}

static size_t clamp(size_t n, size_t low, size_t high)
{
    return n < low ? low : n > high ? high : n;
}

struct mr_range mr_vectors(const mr_runtime *rt, size_t n)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t vectors = (size_t)mr_ceil_div((int64_t)n, info->vec);
    if (info->lanes > 1)
        return mr_items(rt, vectors);
    size_t groups = clamp(n / 16384, (size_t)info->compute_units * 2, (size_t)info->compute_units * 16);
    return (struct mr_range){.groups = {clamp(groups, 1, vectors)}, .local_size = 1};
}

struct mr_range mr_row_shares(const mr_runtime *rt, size_t rows, size_t dim)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t groups = rows;
    if (info->lanes == 1)
        groups = clamp(rows * dim / 16384, (size_t)info->compute_units * 2, (size_t)info->compute_units * 16);
    return (struct mr_range){.groups = {clamp(groups, 1, rows)}, .local_size = (size_t)info->lanes};
}

size_t mr_row_blocks(const mr_runtime *rt, size_t rows)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    if (info->lanes > 1)
        return (size_t)mr_ceil_div((int64_t)rows, 8);
    return clamp(rows / 16, 1, 64);
}
