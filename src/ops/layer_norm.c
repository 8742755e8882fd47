/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/layer_norm.h"

#include "ops/check.h"
#include "ops/elementwise.h"

int mr_layer_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *bias,
                          const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd, int rows, int dim,
                          float eps)
{
    size_t n;
    MR_TRY(mr_need_shape("layer_norm", rows, dim, &n));
    MR_TRY(mr_need_f32("layer_norm", "x", x, n));
    MR_TRY(mr_need_f32("layer_norm", "weight", weight, (size_t)dim));
    if (mr_given(bias))
        MR_TRY(mr_need_f32("layer_norm", "bias", bias, (size_t)dim));
    MR_TRY(mr_need_f32("layer_norm", "y", y, n));
    MR_TRY(mr_need_f32("layer_norm", "mean", mean, (size_t)rows));
    MR_TRY(mr_need_f32("layer_norm", "rstd", rstd, (size_t)rows));
    mr_profile_note(rt, 8.0 * (double)n, 8.0 * (double)n);
    return mr_launch(rt, "layer_norm_forward", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(x), mr_in(weight),
                     mr_in(bias), mr_out(y), mr_out(mean), mr_out(rstd), mr_int(rows), mr_int(dim), mr_float(eps));
}

size_t mr_layer_norm_backward_scratch(const mr_runtime *rt, int rows, int dim)
{
    return mr_row_blocks(rt, (size_t)rows) * 2 * (size_t)dim;
}

int mr_layer_norm_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *mean,
                           const mr_tensor *rstd, const struct mr_layer_norm_gradients *g, const mr_tensor *scratch,
                           int rows, int dim)
{
    static const char op[] = "layer_norm backward";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "weight", weight, (size_t)dim));
    MR_TRY(mr_need_f32(op, "mean", mean, (size_t)rows));
    MR_TRY(mr_need_f32(op, "rstd", rstd, (size_t)rows));
    MR_TRY(mr_need_f32(op, "dy", g->dy, n));
    MR_TRY(mr_need_f32(op, "dx", g->dx, n));
    MR_TRY(mr_need_f32(op, "dweight", g->dweight, (size_t)dim));
    if (mr_given(g->dbias))
        MR_TRY(mr_need_f32(op, "dbias", g->dbias, (size_t)dim));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_layer_norm_backward_scratch(rt, rows, dim)));
    size_t blocks = mr_row_blocks(rt, (size_t)rows);
    struct mr_range range = {.groups = {blocks}, .local_size = (size_t)mr_runtime_info(rt)->lanes};
    mr_profile_note(rt, (g->accumulate ? 16.0 : 12.0) * (double)n, 14.0 * (double)n);
    MR_TRY(mr_launch(rt, "layer_norm_backward", range, mr_in(x), mr_in(weight), mr_in(mean), mr_in(rstd), mr_in(g->dy),
                     mr_out(g->dx), mr_out(scratch), mr_int(rows), mr_int(dim), mr_int(g->accumulate)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->dweight, g->dbias}, (int)blocks, 2, dim);
}
