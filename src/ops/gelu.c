/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/gelu.h"

#include "ops/check.h"

static int need_activation(const char *op, enum mr_activation act)
{
    if (act == MR_ACT_GELU_ERF || act == MR_ACT_GELU_TANH || act == MR_ACT_GELU_QUICK || act == MR_ACT_RELU)
        return 0;
    return mr_fail(MR_EINVAL, "%s: activation %d is no form of GELU and not ReLU", op, (int)act);
}

int mr_gelu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n, enum mr_activation act)
{
    static const char op[] = "gelu";
    MR_TRY(need_activation(op, act));
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 0);
    return mr_launch(rt, "gelu_forward", mr_vectors(rt, n), mr_in(x), mr_out(y), mr_int((int)n), mr_int((int)act));
}

int mr_gelu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n,
                     enum mr_activation act)
{
    static const char op[] = "gelu backward";
    MR_TRY(need_activation(op, act));
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, 12.0 * (double)n, 0);
    return mr_launch(rt, "gelu_backward", mr_vectors(rt, n), mr_in(x), mr_in(dy), mr_out(dx), mr_int((int)n),
                     mr_int((int)act));
}
