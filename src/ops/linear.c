/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/linear.h"

#include "base/alloc.h"
#include "ops/check.h"
#include "ops/elementwise.h"
#include "rt/gemm.h"

/* x [rows,in], w [out,in] and the columns of y */
static int need(const char *op, const mr_tensor *x, const mr_tensor *w, const mr_tensor *y, int rows, int in, int out,
                int ld, size_t offset)
{
    size_t n_x, n_w, n_y;
    MR_TRY(mr_need_shape(op, rows, in, &n_x));
    MR_TRY(mr_need_shape(op, out, in, &n_w));
    if (ld < out)
        return mr_fail(MR_EINVAL, "%s: %d outputs do not fit rows that lie %d apart", op, out, ld);
    MR_TRY(mr_need_shape(op, rows, ld, &n_y));
    MR_TRY(mr_need_f32(op, "x", x, n_x));
    if (!mr_given(w) || !mr_is_weights(w->dtype)) /* mr_gemm checks the formats */
        MR_TRY(mr_need_f32(op, "w", w, n_w));
    return mr_need_f32(op, "y", y, offset + n_y - (size_t)(ld - out));
}

int mr_linear_forward_columns(mr_runtime *rt, const mr_tensor *x, const mr_tensor *w, const mr_tensor *bias,
                              const mr_tensor *y, int rows, int in, int out, int ld, size_t offset)
{
    MR_TRY(need("linear", x, w, y, rows, in, out, ld, offset));
    if (mr_given(bias))
        MR_TRY(mr_need_f32("linear", "bias", bias, (size_t)out));
    struct mr_gemm g = {.m = rows,
                        .n = out,
                        .k = in,
                        .trans_b = true,
                        .ldc = ld,
                        .offset_c = offset,
                        .bias = mr_given(bias) ? bias : NULL};
    return mr_gemm(rt, &g, x, w, y);
}

int mr_linear_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *w, const mr_tensor *bias, const mr_tensor *y,
                      int rows, int in, int out)
{
    return mr_linear_forward_columns(rt, x, w, bias, y, rows, in, out, out, 0);
}

int mr_linear_backward_input_columns(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *w, const mr_tensor *dx,
                                     int rows, int in, int out, int ld, size_t offset, bool accumulate)
{
    MR_TRY(need("linear backward_input", dx, w, dy, rows, in, out, ld, offset));
    struct mr_gemm g = {.m = rows, .n = in, .k = out, .lda = ld, .offset_a = offset, .beta = accumulate ? 1 : 0};
    return mr_gemm(rt, &g, dy, w, dx);
}

int mr_linear_backward_input(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *w, const mr_tensor *dx, int rows,
                             int in, int out, bool accumulate)
{
    return mr_linear_backward_input_columns(rt, dy, w, dx, rows, in, out, out, 0, accumulate);
}

/* Groups that each sum some of the rows: worth their start on a CPU. */
static int bias_groups(const mr_runtime *rt, int rows, int out)
{
    enum { FLOATS_A_GROUP = 16384, MOST = 64 };
    if (mr_runtime_info(rt)->lanes > 1)
        return (int)mr_ceil_div(rows, 16);
    int64_t groups = (int64_t)rows * out / FLOATS_A_GROUP;
    groups = groups < 1 ? 1 : groups > MOST ? MOST : groups;
    return groups > rows ? rows : (int)groups;
}

size_t mr_linear_scratch(const mr_runtime *rt, int rows, int in, int out)
{
    (void)in;
    return (size_t)bias_groups(rt, rows, out) * (size_t)out;
}

static int bias_backward(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *dbias, const mr_tensor *scratch,
                         int rows, int out, int ld, size_t offset)
{
    static const char op[] = "linear backward_weight";
    int groups = bias_groups(rt, rows, out);
    MR_TRY(mr_need_f32(op, "dbias", dbias, (size_t)out));
    MR_TRY(mr_need_f32(op, "scratch", scratch, (size_t)groups * (size_t)out));
    struct mr_range range = {.groups = {(size_t)groups}, .local_size = (size_t)mr_runtime_info(rt)->lanes};
    mr_profile_note(rt, 4.0 * rows * out, (double)rows * out);
    MR_TRY(mr_launch(rt, "linear_bias_backward", range, mr_in(dy), mr_out(scratch), mr_ulong(offset), mr_int(rows),
                     mr_int(out), mr_int(ld)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){dbias}, groups, 1, out);
}

int mr_bias_backward(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *dbias, const mr_tensor *scratch, int rows,
                     int out)
{
    size_t n;
    MR_TRY(mr_need_shape("bias backward", rows, out, &n));
    MR_TRY(mr_need_f32("bias backward", "dy", dy, n));
    return bias_backward(rt, dy, dbias, scratch, rows, out, out, 0);
}

int mr_linear_backward_weight_columns(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dw,
                                      const mr_tensor *dbias, const mr_tensor *scratch, int rows, int in, int out,
                                      int ld, size_t offset)
{
    MR_TRY(need("linear backward_weight", x, dw, dy, rows, in, out, ld, offset));
    struct mr_gemm g = {.m = out, .n = in, .k = rows, .trans_a = true, .lda = ld, .offset_a = offset, .beta = 1};
    MR_TRY(mr_gemm(rt, &g, dy, x, dw));
    return mr_given(dbias) ? bias_backward(rt, dy, dbias, scratch, rows, out, ld, offset) : 0;
}

int mr_linear_backward_weight(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dw,
                              const mr_tensor *dbias, const mr_tensor *scratch, int rows, int in, int out)
{
    return mr_linear_backward_weight_columns(rt, x, dy, dw, dbias, scratch, rows, in, out, out, 0);
}
