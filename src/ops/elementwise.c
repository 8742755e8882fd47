/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/elementwise.h"

#include "base/alloc.h"
#include "ops/check.h"

int mr_add_forward(mr_runtime *rt, const mr_tensor *a, const mr_tensor *b, const mr_tensor *y, size_t n)
{
    MR_TRY(mr_need_count("add", n));
    MR_TRY(mr_need_f32("add", "a", a, n));
    MR_TRY(mr_need_f32("add", "b", b, n));
    MR_TRY(mr_need_f32("add", "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, (double)n);
    return mr_launch(rt, "add_forward", mr_vectors(rt, n), mr_in(a), mr_in(b), mr_out(y), mr_int((int)n));
}

int mr_accumulate(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    MR_TRY(mr_need_count("accumulate", n));
    MR_TRY(mr_need_f32("accumulate", "x", x, n));
    MR_TRY(mr_need_f32("accumulate", "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, (double)n);
    return mr_launch(rt, "accumulate", mr_vectors(rt, n), mr_in(x), mr_out(y), mr_int((int)n));
}

int mr_scale(mr_runtime *rt, const mr_tensor *x, size_t n, float s)
{
    MR_TRY(mr_need_count("scale", n));
    MR_TRY(mr_need_f32("scale", "x", x, n));
    mr_profile_note(rt, 8.0 * (double)n, (double)n);
    return mr_launch(rt, "scale", mr_vectors(rt, n), mr_out(x), mr_int((int)n), mr_float(s));
}

static int unary(mr_runtime *rt, const char *op, const char *kernel, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 10.0 * (double)n);
    return mr_launch(rt, kernel, mr_vectors(rt, n), mr_in(x), mr_out(y), mr_int((int)n));
}

int mr_tanh_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    return unary(rt, "tanh", "tanh_forward", x, y, n);
}

int mr_sigmoid_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    return unary(rt, "sigmoid", "sigmoid_forward", x, y, n);
}

static int unary_backward(mr_runtime *rt, const char *op, const char *kernel, const mr_tensor *y, const mr_tensor *dy,
                          const mr_tensor *dx, size_t n)
{
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, 12.0 * (double)n, 4.0 * (double)n);
    return mr_launch(rt, kernel, mr_vectors(rt, n), mr_in(y), mr_in(dy), mr_out(dx), mr_int((int)n));
}

int mr_tanh_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, size_t n)
{
    return unary_backward(rt, "tanh backward", "tanh_backward", y, dy, dx, n);
}

int mr_sigmoid_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, size_t n)
{
    return unary_backward(rt, "sigmoid backward", "sigmoid_backward", y, dy, dx, n);
}

/* Fills in a stride of 0 and checks that the rows lie within the tensor. */
static int need_columns(const char *op, const char *name, struct mr_columns *c, int rows, int dim)
{
    if (!c->stride)
        c->stride = dim;
    if (c->stride < dim)
        return mr_fail(MR_EINVAL, "%s: %s has rows of %d but a stride of %d", op, name, dim, c->stride);
    size_t end = c->offset + (size_t)(rows - 1) * (size_t)c->stride + (size_t)dim;
    MR_TRY(mr_need_count(op, end));
    return mr_need_f32(op, name, c->tensor, end);
}

int mr_multiply_forward(mr_runtime *rt, struct mr_columns a, struct mr_columns b, struct mr_columns y, int rows,
                        int dim)
{
    size_t n;
    MR_TRY(mr_need_shape("multiply", rows, dim, &n));
    MR_TRY(need_columns("multiply", "a", &a, rows, dim));
    MR_TRY(need_columns("multiply", "b", &b, rows, dim));
    MR_TRY(need_columns("multiply", "y", &y, rows, dim));
    mr_profile_note(rt, 12.0 * (double)n, (double)n);
    return mr_launch(rt, "multiply_forward", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(a.tensor),
                     mr_int((int)a.offset), mr_int(a.stride), mr_in(b.tensor), mr_int((int)b.offset), mr_int(b.stride),
                     mr_out(y.tensor), mr_int((int)y.offset), mr_int(y.stride), mr_int(rows), mr_int(dim));
}

int mr_multiply_backward(mr_runtime *rt, struct mr_columns a, struct mr_columns b, struct mr_columns dy,
                         struct mr_columns da, struct mr_columns db, int rows, int dim)
{
    static const char op[] = "multiply backward";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    MR_TRY(need_columns(op, "a", &a, rows, dim));
    MR_TRY(need_columns(op, "b", &b, rows, dim));
    MR_TRY(need_columns(op, "dy", &dy, rows, dim));
    MR_TRY(need_columns(op, "da", &da, rows, dim));
    MR_TRY(need_columns(op, "db", &db, rows, dim));
    mr_profile_note(rt, 20.0 * (double)n, 2.0 * (double)n);
    return mr_launch(rt, "multiply_backward", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(a.tensor),
                     mr_int((int)a.offset), mr_int(a.stride), mr_in(b.tensor), mr_int((int)b.offset), mr_int(b.stride),
                     mr_in(dy.tensor), mr_int((int)dy.offset), mr_int(dy.stride), mr_out(da.tensor),
                     mr_int((int)da.offset), mr_int(da.stride), mr_out(db.tensor), mr_int((int)db.offset),
                     mr_int(db.stride), mr_int(rows), mr_int(dim));
}

int mr_sum_rows(mr_runtime *rt, const mr_tensor *partial, const mr_tensor *const y[], int rows, int count, int dim)
{
    if (count < 1 || count > 6)
        return mr_fail(MR_EINVAL, "sum_rows: %d outputs, 1 to 6 are possible", count);
    size_t n;
    MR_TRY(mr_need_shape("sum_rows", rows, count * dim, &n));
    MR_TRY(mr_need_f32("sum_rows", "partial", partial, n));
    const mr_tensor *to[6] = {0};
    for (int k = 0; k < count; k++)
        if (mr_given(y[k])) {
            MR_TRY(mr_need_f32("sum_rows", "y", y[k], (size_t)dim));
            to[k] = y[k];
        }
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t vectors = (size_t)mr_ceil_div(dim, info->vec), lanes = (size_t)info->lanes;
    size_t groups = lanes > 1 ? (vectors + lanes - 1) / lanes : (vectors + 7) / 8;
    struct mr_range range = {.groups = {groups, (size_t)count}, .local_size = lanes};
    mr_profile_note(rt, 4.0 * (double)n, (double)n);
    return mr_launch(rt, "sum_rows", range, mr_in(partial), mr_out(to[0]), mr_out(to[1]), mr_out(to[2]), mr_out(to[3]),
                     mr_out(to[4]), mr_out(to[5]), mr_int(rows), mr_int(count), mr_int(dim));
}
