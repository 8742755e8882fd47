/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/mixture_step.h"

#include "base/alloc.h"
#include "ops/check.h"

/* count: experts in o; active: 0, or those that weigh */
static int sum_up(mr_runtime *rt, const char *op, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h,
                  int rows, int experts, int count, int active, int dim)
{
    int chosen = active ? active : count;
    size_t n, all, scores;
    MR_TRY(mr_need_shape(op, rows, experts, &scores));
    if (experts > MR_MIXTURE_STEP_EXPERTS || chosen < 1 || chosen > experts)
        return mr_fail(MR_EINVAL, "%s: %d active of %d experts, expected 1 to %d of at most %d", op, chosen, experts,
                       experts, MR_MIXTURE_STEP_EXPERTS);
    MR_TRY(mr_need_f32(op, "logits", logits, scores));
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    if (!mr_mul(n, (size_t)count, &all))
        return mr_fail(MR_EINVAL, "%s: %d rows of %d are too many", op, rows, dim);
    MR_TRY(mr_need_count(op, all));
    MR_TRY(mr_need_f32(op, "o", o, all));
    MR_TRY(mr_need_f32(op, "h", h, n));
    mr_profile_note(rt, 4.0 * (double)(all + n), 2.0 * (double)all);
    return mr_launch(rt, "mixture_step", mr_row_shares(rt, (size_t)rows, (size_t)dim * (size_t)count), mr_in(logits),
                     mr_in(o), mr_out(h), mr_int(rows), mr_int(experts), mr_int(count), mr_int(dim), mr_int(active));
}

int mr_mixture_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows,
                    int experts, int active, int dim)
{
    return sum_up(rt, "mixture step", logits, o, h, rows, experts, active, 0, dim);
}

int mr_topk_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows, int experts,
                 int active, int dim)
{
    static const char op[] = "topk step";
    if (active < 1)
        return mr_fail(MR_EINVAL, "%s: %d active experts, at least 1 is needed", op, active);
    return sum_up(rt, op, logits, o, h, rows, experts, experts, active, dim);
}
