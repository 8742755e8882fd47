/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/token_shift.h"

#include "ops/check.h"
#include "ops/elementwise.h"

static const char *const variants[] = {"-DCOUNT=1", "-DCOUNT=2", "-DCOUNT=3", "-DCOUNT=4", "-DCOUNT=5", "-DCOUNT=6"};
static const char *const keeping[] = {"-DCOUNT=1 -DKEEPS=1", "-DCOUNT=2 -DKEEPS=1", "-DCOUNT=3 -DKEEPS=1",
                                      "-DCOUNT=4 -DKEEPS=1", "-DCOUNT=5 -DKEEPS=1", "-DCOUNT=6 -DKEEPS=1"};

static const char *variant(const struct mr_token_shift *s)
{
    return s->keeps ? keeping[s->count - 1] : variants[s->count - 1];
}

static int need(const char *op, const struct mr_token_shift *s, const mr_tensor *x, size_t *n)
{
    if (s->count < 1 || s->count > 6)
        return mr_fail(MR_EINVAL, "%s: %d mixtures, 1 to 6 are possible", op, s->count);
    if (s->batch < 1 || s->time < 1 || (int64_t)s->batch * s->time > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: a batch of %d x %d positions is not possible", op, s->batch, s->time);
    MR_TRY(mr_need_shape(op, s->batch * s->time, s->dim, n));
    return mr_need_f32(op, "x", x, *n);
}

int mr_token_shift_forward(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x,
                           const mr_tensor *previous, const mr_tensor *const maa[], const mr_tensor *const out[])
{
    static const char op[] = "token_shift";
    size_t n, dim = (size_t)s->dim;
    MR_TRY(need(op, s, x, &n));
    if (mr_given(previous))
        MR_TRY(mr_need_f32(op, "previous", previous, (size_t)s->batch * dim));
    const mr_tensor *m[6] = {0}, *o[6] = {0};
    for (int k = 0; k < s->count; k++) {
        MR_TRY(mr_need_f32(op, "maa", m[k] = maa[k], dim));
        MR_TRY(mr_need_f32(op, "out", o[k] = out[k], n));
    }
    int rows = s->batch * s->time;
    struct mr_range range = mr_row_shares(rt, (size_t)rows, dim * (size_t)(1 + s->count));
    range.defines = variant(s);
    mr_profile_note(rt, 4.0 * (1 + s->count) * (double)n, 2.0 * s->count * (double)n);
    return mr_launch(rt, "token_shift_forward", range, mr_in(x), mr_in(previous), mr_in(m[0]), mr_in(m[1]), mr_in(m[2]),
                     mr_in(m[3]), mr_in(m[4]), mr_in(m[5]), mr_out(o[0]), mr_out(o[1]), mr_out(o[2]), mr_out(o[3]),
                     mr_out(o[4]), mr_out(o[5]), mr_int(rows), mr_int(s->time), mr_int(s->dim));
}

size_t mr_token_shift_backward_scratch(const mr_runtime *rt, const struct mr_token_shift *s)
{
    return mr_row_blocks(rt, (size_t)s->batch * (size_t)s->time) * (size_t)s->count * (size_t)s->dim;
}

int mr_token_shift_backward(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x,
                            const mr_tensor *const maa[], const mr_tensor *const dout[], const mr_tensor *dx,
                            bool accumulate, const mr_tensor *const dmaa[], const mr_tensor *scratch)
{
    static const char op[] = "token_shift backward";
    size_t n, dim = (size_t)s->dim;
    MR_TRY(need(op, s, x, &n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_token_shift_backward_scratch(rt, s)));
    const mr_tensor *m[6] = {0}, *d[6] = {0};
    for (int k = 0; k < s->count; k++) {
        MR_TRY(mr_need_f32(op, "maa", m[k] = maa[k], dim));
        MR_TRY(mr_need_f32(op, "dout", d[k] = dout[k], n));
    }
    int rows = s->batch * s->time;
    size_t blocks = mr_row_blocks(rt, (size_t)rows);
    struct mr_range range = {
        .groups = {blocks}, .local_size = (size_t)mr_runtime_info(rt)->lanes, .defines = variant(s)};
    mr_profile_note(rt, 4.0 * (2 + s->count + accumulate) * (double)n, 5.0 * s->count * (double)n);
    MR_TRY(mr_launch(rt, "token_shift_backward", range, mr_in(x), mr_in(m[0]), mr_in(m[1]), mr_in(m[2]), mr_in(m[3]),
                     mr_in(m[4]), mr_in(m[5]), mr_in(d[0]), mr_in(d[1]), mr_in(d[2]), mr_in(d[3]), mr_in(d[4]),
                     mr_in(d[5]), mr_out(dx), mr_out(scratch), mr_int(rows), mr_int(s->time), mr_int(s->dim),
                     mr_int(accumulate)));
    return mr_sum_rows(rt, scratch, dmaa, (int)blocks, s->count, s->dim);
}

int mr_token_shift_state(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x, const mr_tensor *previous)
{
    static const char op[] = "token_shift state";
    size_t n;
    MR_TRY(need(op, s, x, &n));
    MR_TRY(mr_need_f32(op, "previous", previous, (size_t)s->batch * (size_t)s->dim));
    struct mr_range range = mr_row_shares(rt, (size_t)s->batch, (size_t)s->dim);
    range.defines = variant(s);
    return mr_launch(rt, "token_shift_state", range, mr_in(x), mr_out(previous), mr_int(s->batch), mr_int(s->time),
                     mr_int(s->dim));
}
