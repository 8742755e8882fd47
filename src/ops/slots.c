/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/slots.h"

int mr_need_slots(const char *op, const struct mr_slots *slots, int rows, size_t size)
{
    if (rows < 1)
        return mr_fail(MR_EINVAL, "%s: %d rows, at least 1 is needed", op, rows);
    if (slots->stride < 1 || (size_t)slots->stride < size)
        return mr_fail(MR_EINVAL, "%s: slots lie %d floats apart, a state has %zu", op, slots->stride, size);
    MR_TRY(mr_need_f32(op, "state", slots->state, (size_t)(rows - 1) * (size_t)slots->stride + size));
    return mr_need_i32(op, "slots", slots->of, (size_t)rows);
}
