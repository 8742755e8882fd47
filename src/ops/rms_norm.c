/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/rms_norm.h"

#include "ops/check.h"

int mr_rms_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, const mr_tensor *rstd, int rows,
                        int dim, float eps)
{
    size_t n;
    MR_TRY(mr_need_shape("rms_norm", rows, dim, &n));
    MR_TRY(mr_need_f32("rms_norm", "x", x, n));
    MR_TRY(mr_need_f32("rms_norm", "y", y, n));
    MR_TRY(mr_need_f32("rms_norm", "rstd", rstd, (size_t)rows));
    mr_profile_note(rt, 8.0 * (double)n, 3.0 * (double)n);
    return mr_launch(rt, "rms_norm_forward", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(x), mr_out(y),
                     mr_out(rstd), mr_int(rows), mr_int(dim), mr_float(eps));
}

int mr_rms_norm_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *rstd, const mr_tensor *dy,
                         const mr_tensor *dx, int rows, int dim, bool accumulate)
{
    static const char op[] = "rms_norm backward";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    MR_TRY(mr_need_f32(op, "rstd", rstd, (size_t)rows));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, (accumulate ? 16.0 : 12.0) * (double)n, 7.0 * (double)n);
    return mr_launch(rt, "rms_norm_backward", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(y), mr_in(rstd),
                     mr_in(dy), mr_out(dx), mr_int(rows), mr_int(dim), mr_int(accumulate));
}
