/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/mixture.h"

#include "base/alloc.h"
#include "ops/check.h"

int mr_softmax_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, int rows, int experts)
{
    size_t n;
    MR_TRY(mr_need_shape("softmax", rows, experts, &n));
    MR_TRY(mr_need_f32("softmax", "x", x, n));
    MR_TRY(mr_need_f32("softmax", "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 4.0 * (double)n);
    return mr_launch(rt, "softmax_forward", mr_row_shares(rt, (size_t)rows, (size_t)experts), mr_in(x), mr_out(y),
                     mr_int(rows), mr_int(experts), mr_int(0));
}

int mr_softmax_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, int rows,
                        int experts)
{
    size_t n;
    MR_TRY(mr_need_shape("softmax backward", rows, experts, &n));
    MR_TRY(mr_need_f32("softmax backward", "y", y, n));
    MR_TRY(mr_need_f32("softmax backward", "dy", dy, n));
    MR_TRY(mr_need_f32("softmax backward", "dx", dx, n));
    mr_profile_note(rt, 12.0 * (double)n, 4.0 * (double)n);
    return mr_launch(rt, "softmax_backward", mr_row_shares(rt, (size_t)rows, (size_t)experts), mr_in(y), mr_in(dy),
                     mr_out(dx), mr_int(rows), mr_int(experts));
}

/* R, E, A, D must be a shape: 1 <= A <= E, and no product above 2^30; counts of scores, o and h. */
static int need_mixture(const char *op, int rows, int experts, int active, int dim, size_t count[3])
{
    if (active < 1 || active > experts)
        return mr_fail(MR_EINVAL, "%s: %d active experts of %d, expected 1 to %d", op, active, experts, experts);
    size_t width;
    MR_TRY(mr_need_shape(op, rows, experts, &count[0]));
    MR_TRY(mr_need_shape(op, active, dim, &width));
    MR_TRY(mr_need_shape(op, rows, (int)width, &count[1]));
    count[2] = (size_t)rows * (size_t)dim;
    return 0;
}

int mr_mixture_forward(mr_runtime *rt, const mr_tensor *scores, const mr_tensor *o, const mr_tensor *h, int rows,
                       int experts, int active, int dim)
{
    size_t n[3];
    MR_TRY(need_mixture("mixture", rows, experts, active, dim, n));
    MR_TRY(mr_need_f32("mixture", "scores", scores, n[0]));
    MR_TRY(mr_need_f32("mixture", "o", o, n[1]));
    MR_TRY(mr_need_f32("mixture", "h", h, n[2]));
    mr_profile_note(rt, 4.0 * (double)(n[0] + n[1] + n[2]), 2.0 * (double)n[1]);
    return mr_launch(rt, "mixture_forward", mr_row_shares(rt, (size_t)rows, (size_t)active * (size_t)dim),
                     mr_in(scores), mr_in(o), mr_out(h), mr_int(rows), mr_int(experts), mr_int(active), mr_int(dim));
}

int mr_mixture_backward(mr_runtime *rt, const mr_tensor *scores, const mr_tensor *o, const mr_tensor *dh,
                        const mr_tensor *dscores, const mr_tensor *d_o, int rows, int experts, int active, int dim)
{
    size_t n[3];
    MR_TRY(need_mixture("mixture backward", rows, experts, active, dim, n));
    MR_TRY(mr_need_f32("mixture backward", "scores", scores, n[0]));
    MR_TRY(mr_need_f32("mixture backward", "o", o, n[1]));
    MR_TRY(mr_need_f32("mixture backward", "dh", dh, n[2]));
    MR_TRY(mr_need_f32("mixture backward", "dscores", dscores, n[0]));
    MR_TRY(mr_need_f32("mixture backward", "d_o", d_o, n[1]));
    mr_profile_note(rt, 4.0 * (double)(2 * n[0] + 2 * n[1] + n[2]), 3.0 * (double)n[1]);
    return mr_launch(rt, "mixture_backward", mr_row_shares(rt, (size_t)rows, (size_t)active * (size_t)dim),
                     mr_in(scores), mr_in(o), mr_in(dh), mr_out(dscores), mr_out(d_o), mr_int(rows), mr_int(experts),
                     mr_int(active), mr_int(dim));
}

static int need_diversity(const char *op, int batch, int time, int active, int dim, size_t *width, size_t *count)
{
    size_t rows;
    MR_TRY(mr_need_shape(op, batch, time, &rows));
    MR_TRY(mr_need_shape(op, active, dim, width));
    return mr_need_shape(op, (int)rows, (int)*width, count);
}

int mr_diversity_forward(mr_runtime *rt, const mr_tensor *o, const mr_tensor *mean, const mr_tensor *loss, int batch,
                         int time, int active, int dim, float weight)
{
    size_t width, n;
    MR_TRY(need_diversity("diversity", batch, time, active, dim, &width, &n));
    size_t means = (size_t)batch * width;
    MR_TRY(mr_need_f32("diversity", "o", o, n));
    MR_TRY(mr_need_f32("diversity", "mean", mean, means));
    MR_TRY(mr_need_f32("diversity", "loss", loss, 1));
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t columns = (size_t)info->vec * (info->lanes == 1 ? 4 : (size_t)info->lanes); /* that a group takes */
    struct mr_range range = {.groups = {(width + columns - 1) / columns, (size_t)batch},
                             .local_size = (size_t)info->lanes};
    mr_profile_note(rt, 4.0 * (double)(n + means), (double)n);
    MR_TRY(mr_launch(rt, "diversity_mean", range, mr_in(o), mr_out(mean), mr_int(time), mr_int((int)width)));
    mr_profile_note(rt, 4.0 * (double)means, 2.0 * (double)means);
    return mr_launch(rt, "diversity_loss", mr_rows(rt, 1), mr_in(mean), mr_out(loss), mr_int((int)means),
                     mr_float(weight / (float)means));
}

int mr_diversity_backward(mr_runtime *rt, const mr_tensor *mean, const mr_tensor *d_o, int batch, int time, int active,
                          int dim, float weight)
{
    size_t width, n;
    MR_TRY(need_diversity("diversity backward", batch, time, active, dim, &width, &n));
    size_t means = (size_t)batch * width;
    MR_TRY(mr_need_f32("diversity backward", "mean", mean, means));
    MR_TRY(mr_need_f32("diversity backward", "d_o", d_o, n));
    mr_profile_note(rt, 8.0 * (double)n, 2.0 * (double)n);
    return mr_launch(rt, "diversity_backward", mr_row_shares(rt, (size_t)batch * (size_t)time, width), mr_in(mean),
                     mr_out(d_o), mr_int(batch * time), mr_int(time), mr_int((int)width),
                     mr_float(2.0f * weight / ((float)means * (float)time)));
}
