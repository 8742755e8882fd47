/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/slots.h"

#include "base/alloc.h"

int mr_need_slots(const char *op, const struct mr_slots *slots, int rows, size_t size)
{
    if (rows < 1)
        return mr_fail(MR_EINVAL, "%s: %d rows, at least 1 is needed", op, rows);
    if (slots->stride < 1 || (size_t)slots->stride < size)
        return mr_fail(MR_EINVAL, "%s: slots lie %d floats apart, a state has %zu", op, slots->stride, size);
    MR_TRY(mr_need_f32(op, "state", slots->state, (size_t)(rows - 1) * (size_t)slots->stride + size));
    return mr_need_i32(op, "slots", slots->of, (size_t)rows);
}

int mr_need_heads(const char *op, int rows, int heads, int width, int widest, size_t *dim, size_t *n)
{
    if (rows < 1 || heads < 1 || width < 1 || width > widest)
        return mr_fail(MR_EINVAL, "%s: %d rows, %d heads of width %d: all must be positive, the width at most %d", op,
                       rows, heads, width, widest);
    if (!mr_mul((size_t)heads, (size_t)width, dim) || !mr_mul(*dim, (size_t)rows, n))
        return mr_fail(MR_EINVAL, "%s: %d rows of %d heads are too many", op, rows, heads);
    return mr_need_count(op, *n);
}
