/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/dynamic_shift.h"

#include "base/alloc.h"
#include "ops/check.h"
#include "ops/elementwise.h"

/* *rows = B*T, *n = 5 B*T C */
static int need_sizes(const char *op, int batch, int time, int dim, size_t *rows, size_t *n)
{
    if (batch < 1 || time < 1 || !mr_mul((size_t)batch, (size_t)time, rows) || *rows > (size_t)1 << 27)
        return mr_fail(MR_EINVAL, "%s: a batch of %d x %d positions is not possible", op, batch, time);
    return mr_need_shape(op, MR_DYNAMIC_MIXTURES * (int)*rows, dim, n);
}

int mr_dynamic_shift_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *previous,
                             const mr_tensor *const maa[MR_DYNAMIC_MIXTURES], const mr_tensor *mixed, int batch,
                             int time, int dim)
{
    static const char op[] = "dynamic_shift";
    size_t n, rows;
    MR_TRY(need_sizes(op, batch, time, dim, &rows, &n));
    MR_TRY(mr_need_f32(op, "x", x, rows * (size_t)dim));
    if (mr_given(previous))
        MR_TRY(mr_need_f32(op, "previous", previous, (size_t)batch * (size_t)dim));
    for (int k = 0; k < MR_DYNAMIC_MIXTURES; k++)
        MR_TRY(mr_need_f32(op, "maa", maa[k], (size_t)dim));
    MR_TRY(mr_need_f32(op, "mixed", mixed, n));
    mr_profile_note(rt, 8.0 * (double)n + 8.0 * (double)(rows * (size_t)dim), 3.0 * (double)n);
    return mr_launch(rt, "dynamic_shift_forward", mr_row_shares(rt, rows, 2 * MR_DYNAMIC_MIXTURES * (size_t)dim),
                     mr_in(x), mr_in(previous), mr_in(maa[0]), mr_in(maa[1]), mr_in(maa[2]), mr_in(maa[3]),
                     mr_in(maa[4]), mr_out(mixed), mr_int((int)rows), mr_int(time), mr_int(dim));
}

size_t mr_dynamic_shift_backward_scratch(const mr_runtime *rt, int batch, int time, int dim)
{
    return mr_row_blocks(rt, (size_t)batch * (size_t)time) * MR_DYNAMIC_MIXTURES * (size_t)dim;
}

int mr_dynamic_shift_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *const maa[MR_DYNAMIC_MIXTURES],
                              const mr_tensor *m, const struct mr_dynamic_shift_gradients *g, const mr_tensor *scratch,
                              int batch, int time, int dim)
{
    static const char op[] = "dynamic_shift backward";
    size_t n, rows;
    MR_TRY(need_sizes(op, batch, time, dim, &rows, &n));
    MR_TRY(mr_need_f32(op, "x", x, rows * (size_t)dim));
    for (int k = 0; k < MR_DYNAMIC_MIXTURES; k++)
        MR_TRY(mr_need_f32(op, "maa", maa[k], (size_t)dim));
    MR_TRY(mr_need_f32(op, "m", m, n));
    MR_TRY(mr_need_f32(op, "dmixed", g->dmixed, n));
    MR_TRY(mr_need_f32(op, "dx", g->dx, rows * (size_t)dim));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_dynamic_shift_backward_scratch(rt, batch, time, dim)));
    size_t blocks = mr_row_blocks(rt, rows);
    struct mr_range range = {.groups = {blocks}, .local_size = (size_t)mr_runtime_info(rt)->lanes};
    mr_profile_note(rt, 8.0 * (double)n + 8.0 * (double)(rows * (size_t)dim), 6.0 * (double)n);
    MR_TRY(mr_launch(rt, "dynamic_shift_backward", range, mr_in(x), mr_in(maa[0]), mr_in(maa[1]), mr_in(maa[2]),
                     mr_in(maa[3]), mr_in(maa[4]), mr_in(m), mr_in(g->dmixed), mr_out(g->dx), mr_out(scratch),
                     mr_int((int)rows), mr_int(time), mr_int(dim)));
    MR_TRY(mr_sum_rows(rt, scratch, g->dmaa, (int)blocks, MR_DYNAMIC_MIXTURES, dim));
    mr_profile_note(rt, 8.0 * (double)n + 4.0 * (double)(rows * (size_t)dim), (double)n);
    return mr_launch(rt, "dynamic_shift_gradients", mr_row_shares(rt, rows, 2 * MR_DYNAMIC_MIXTURES * (size_t)dim),
                     mr_in(x), mr_out(g->dmixed), mr_int((int)rows), mr_int(time), mr_int(dim));
}

int mr_dynamic_shift_step(mr_runtime *rt, const mr_tensor *mixes, const mr_tensor *low, const mr_tensor *w2,
                          const mr_tensor *const maa[MR_DYNAMIC_MIXTURES], const mr_tensor *mixed, int rows, int width,
                          int dim)
{
    static const char op[] = "dynamic_shift step";
    enum { K = MR_DYNAMIC_MIXTURES };
    size_t n, narrow, weights;
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    MR_TRY(mr_need_shape(op, rows, width, &narrow));
    MR_TRY(mr_need_shape(op, width, dim, &weights));
    MR_TRY(mr_need_count(op, K * n));
    MR_TRY(mr_need_count(op, K * weights));
    MR_TRY(mr_need_f32(op, "mixes", mixes, 3 * n));
    MR_TRY(mr_need_f32(op, "low", low, K * narrow));
    MR_TRY(mr_need_f32(op, "w2", w2, K * weights));
    for (int k = 0; k < K; k++)
        MR_TRY(mr_need_f32(op, "maa", maa[k], (size_t)dim));
    MR_TRY(mr_need_f32(op, "mixed", mixed, K * n));
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t columns = (size_t)info->lanes * (size_t)info->vec * (info->lanes == 1 ? 4 : 1);
    size_t blocks = K * (size_t)mr_ceil_div(dim, (int64_t)columns);
    mr_profile_note(rt, 4.0 * (double)(K * weights) + 32.0 * (double)n, 2.0 * rows * (double)(K * weights));
    return mr_launch(rt, "dynamic_shift_step", mr_row_shares(rt, blocks, columns * (size_t)width), mr_in(low),
                     mr_in(w2), mr_in(mixes), mr_in(maa[0]), mr_in(maa[1]), mr_in(maa[2]), mr_in(maa[3]), mr_in(maa[4]),
                     mr_out(mixed), mr_int(rows), mr_int(width), mr_int(dim));
}
