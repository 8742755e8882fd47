/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/gelu.h"

#include "ops/check.h"

int mr_gelu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n, bool tanh_form)
{
    static const char op[] = "gelu";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 0);
    return mr_launch(rt, "gelu_forward", mr_vectors(rt, n), mr_in(x), mr_out(y), mr_int((int)n), mr_int(tanh_form));
}

int mr_gelu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n,
                     bool tanh_form)
{
    static const char op[] = "gelu backward";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, 12.0 * (double)n, 0);
    return mr_launch(rt, "gelu_backward", mr_vectors(rt, n), mr_in(x), mr_in(dy), mr_out(dx), mr_int((int)n),
                     mr_int(tanh_form));
}
