/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/mixture_step.h"

#include "base/alloc.h"
#include "ops/check.h"

static int need_experts(const char *op, int rows, int experts, int active, const char *name, const mr_tensor *numbers)
{
    size_t n;
    MR_TRY(mr_need_shape(op, rows, experts, &n));
    if (experts > MR_MIXTURE_STEP_EXPERTS || active < 1 || active > experts)
        return mr_fail(MR_EINVAL, "%s: %d active of %d experts, expected 1 to %d of at most %d", op, active, experts,
                       experts, MR_MIXTURE_STEP_EXPERTS);
    return mr_need_f32(op, name, numbers, n);
}

/* count: experts in o */
static int sum_up(mr_runtime *rt, const char *op, const mr_tensor *weights, const mr_tensor *o, const mr_tensor *h,
                  int rows, int experts, int count, int dim, bool dense)
{
    size_t n, all;
    MR_TRY(need_experts(op, rows, experts, count, dense ? "logits" : "weights", weights));
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    if (!mr_mul(n, (size_t)count, &all))
        return mr_fail(MR_EINVAL, "%s: %d rows of %d are too many", op, rows, dim);
    MR_TRY(mr_need_count(op, all));
    MR_TRY(mr_need_f32(op, "o", o, all));
    MR_TRY(mr_need_f32(op, "h", h, n));
    mr_profile_note(rt, 4.0 * (double)(all + n), 2.0 * (double)all);
    return mr_launch(rt, "mixture_step", mr_row_shares(rt, (size_t)rows, (size_t)dim * (size_t)count), mr_in(weights),
                     mr_in(o), mr_out(h), mr_int(rows), mr_int(experts), mr_int(count), mr_int(dim), mr_int(dense));
}

int mr_mixture_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows,
                    int experts, int active, int dim)
{
    return sum_up(rt, "mixture step", logits, o, h, rows, experts, active, dim, true);
}

int mr_topk_step_weights(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *weights, int rows, int experts,
                         int active)
{
    static const char op[] = "topk step weights";
    MR_TRY(need_experts(op, rows, experts, active, "logits", logits));
    MR_TRY(need_experts(op, rows, experts, active, "weights", weights));
    return mr_launch(rt, "topk_step_weights", mr_row_shares(rt, (size_t)rows, 16 * (size_t)experts), mr_in(logits),
                     mr_out(weights), mr_int(rows), mr_int(experts), mr_int(active));
}

int mr_topk_step(mr_runtime *rt, const mr_tensor *weights, const mr_tensor *o, const mr_tensor *h, int rows,
                 int experts, int dim)
{
    return sum_up(rt, "topk step", weights, o, h, rows, experts, experts, dim, false);
}
