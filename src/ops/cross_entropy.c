/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/cross_entropy.h"

#include "ops/check.h"

int mr_cross_entropy(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *targets, const mr_tensor *row_loss,
                     int start, int rows, int V, float inv_count, bool backward, float l2wrap)
{
    static const char op[] = "cross_entropy";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, V, &n));
    if (start < 0 || (int64_t)start + rows > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: %d rows from row %d on are not possible", op, rows, start);
    MR_TRY(mr_need_f32(op, "logits", logits, n));
    MR_TRY(mr_need_i32(op, "targets", targets, (size_t)start + (size_t)rows));
    MR_TRY(mr_need_f32(op, "row_loss", row_loss, (size_t)start + (size_t)rows));
    mr_profile_note(rt, (backward ? 12.0 : 4.0) * (double)n, (backward ? 6.0 : 3.0) * (double)n);
    struct mr_range range = mr_row_shares(rt, (size_t)rows, (size_t)V);
    range.defines = backward && l2wrap > 0 ? "-DWRAP=1" : NULL;
    return mr_launch(rt, "cross_entropy", range, mr_out(logits), mr_in(targets), mr_out(row_loss), mr_int(start),
                     mr_int(rows), mr_int(V), mr_float(inv_count), mr_float(l2wrap * inv_count), mr_int(backward));
}

int mr_mean_loss(mr_runtime *rt, const mr_tensor *row_loss, const mr_tensor *loss, int rows, float inv_count)
{
    static const char op[] = "mean_loss";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, 1, &n));
    MR_TRY(mr_need_f32(op, "row_loss", row_loss, n));
    MR_TRY(mr_need_f32(op, "loss", loss, 1));
    return mr_launch(rt, "mean_loss", mr_rows(rt, 1), mr_in(row_loss), mr_out(loss), mr_int(rows), mr_float(inv_count));
}
