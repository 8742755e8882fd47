/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/top.h"

#include "ops/check.h"

int mr_top(mr_runtime *rt, const mr_tensor *logits, int rows, int n, int k, const mr_tensor *values,
           const mr_tensor *ids)
{
    static const char op[] = "top";
    size_t all;
    MR_TRY(mr_need_shape(op, rows, n, &all));
    if (k < 1 || k > MR_TOP || k > n || n > 1 << 24) /* floats count them */
        return mr_fail(MR_EINVAL, "%s: the %d largest of %d; expected 1 to %d of at most 2^24", op, k, n, MR_TOP);
    MR_TRY(mr_need_f32(op, "logits", logits, all));
    MR_TRY(mr_need_f32(op, "values", values, (size_t)rows * (size_t)k));
    MR_TRY(mr_need_i32(op, "ids", ids, (size_t)rows * (size_t)k));
    mr_profile_note(rt, 8.0 * (double)all, 0);
    return mr_launch(rt, "top_step", mr_row_shares(rt, (size_t)rows, 4 * (size_t)n), mr_in(logits), mr_out(values),
                     mr_out(ids), mr_int(rows), mr_int(n), mr_int(k));
}
