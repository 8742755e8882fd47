/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/group_norm.h"

#include <stdio.h>

#include "ops/check.h"
#include "ops/elementwise.h"

static int need_heads(const char *op, int rows, int heads, int width, size_t *n)
{
    if (heads < 1 || width < 1 || (int64_t)heads * width > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: %d heads of width %d are not possible", op, heads, width);
    return mr_need_shape(op, rows, heads * width, n);
}

/* The width is compiled in: a head stays in registers. One head a group where work-items share a row. */
static void by_heads(struct mr_range *range, char defines[32], int heads, int width)
{
    snprintf(defines, 32, "-DN=%d", width);
    range->defines = defines;
    if (range->local_size > 1)
        range->groups[1] = (size_t)heads;
}

int mr_group_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *bias,
                          const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd, int rows, int heads,
                          int width, float eps)
{
    size_t n;
    MR_TRY(need_heads("group_norm", rows, heads, width, &n));
    size_t dim = (size_t)heads * (size_t)width, statistics = (size_t)rows * (size_t)heads;
    MR_TRY(mr_need_f32("group_norm", "x", x, n));
    MR_TRY(mr_need_f32("group_norm", "weight", weight, dim));
    MR_TRY(mr_need_f32("group_norm", "bias", bias, dim));
    MR_TRY(mr_need_f32("group_norm", "y", y, n));
    MR_TRY(mr_need_f32("group_norm", "mean", mean, statistics));
    MR_TRY(mr_need_f32("group_norm", "rstd", rstd, statistics));
    struct mr_range range = mr_row_shares(rt, (size_t)rows, dim);
    char defines[32];
    by_heads(&range, defines, heads, width);
    mr_profile_note(rt, 8.0 * (double)n, 8.0 * (double)n);
    return mr_launch(rt, "group_norm_forward", range, mr_in(x), mr_in(weight), mr_in(bias), mr_out(y), mr_out(mean),
                     mr_out(rstd), mr_int(rows), mr_int(heads), mr_float(eps));
}

size_t mr_group_norm_backward_scratch(const mr_runtime *rt, int rows, int heads, int width)
{
    return mr_row_blocks(rt, (size_t)rows) * 2 * (size_t)heads * (size_t)width;
}

int mr_group_norm_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *weight, const mr_tensor *mean,
                           const mr_tensor *rstd, const struct mr_group_norm_gradients *g, const mr_tensor *scratch,
                           int rows, int heads, int width)
{
    static const char op[] = "group_norm backward";
    size_t n;
    MR_TRY(need_heads(op, rows, heads, width, &n));
    size_t dim = (size_t)heads * (size_t)width, statistics = (size_t)rows * (size_t)heads;
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "weight", weight, dim));
    MR_TRY(mr_need_f32(op, "mean", mean, statistics));
    MR_TRY(mr_need_f32(op, "rstd", rstd, statistics));
    MR_TRY(mr_need_f32(op, "dy", g->dy, n));
    MR_TRY(mr_need_f32(op, "dx", g->dx, n));
    MR_TRY(mr_need_f32(op, "dweight", g->dweight, dim));
    MR_TRY(mr_need_f32(op, "dbias", g->dbias, dim));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_group_norm_backward_scratch(rt, rows, heads, width)));
    size_t blocks = mr_row_blocks(rt, (size_t)rows);
    struct mr_range range = {.groups = {blocks}, .local_size = (size_t)mr_runtime_info(rt)->lanes};
    char defines[32];
    by_heads(&range, defines, heads, width);
    mr_profile_note(rt, (g->accumulate ? 16.0 : 12.0) * (double)n, 14.0 * (double)n);
    MR_TRY(mr_launch(rt, "group_norm_backward", range, mr_in(x), mr_in(weight), mr_in(mean), mr_in(rstd), mr_in(g->dy),
                     mr_out(g->dx), mr_out(scratch), mr_int(rows), mr_int(heads), mr_int(g->accumulate)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->dweight, g->dbias}, (int)blocks, 2, (int)dim);
}
