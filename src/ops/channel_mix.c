/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/channel_mix.h"

#include "ops/check.h"

int mr_squared_relu_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    static const char op[] = "squared_relu";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 2.0 * (double)n);
    return mr_launch(rt, "squared_relu_forward", mr_vectors(rt, n), mr_in(x), mr_out(y), mr_int((int)n));
}

int mr_squared_relu_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *dy, const mr_tensor *dx, size_t n)
{
    static const char op[] = "squared_relu backward";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, 12.0 * (double)n, 3.0 * (double)n);
    return mr_launch(rt, "squared_relu_backward", mr_vectors(rt, n), mr_in(x), mr_in(dy), mr_out(dx), mr_int((int)n));
}

int mr_sigmoid_gate_forward(mr_runtime *rt, const mr_tensor *r, const mr_tensor *v, const mr_tensor *y, size_t n)
{
    static const char op[] = "sigmoid_gate";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, 4.0 * (double)n);
    return mr_launch(rt, "sigmoid_gate_forward", mr_vectors(rt, n), mr_in(r), mr_in(v), mr_out(y), mr_int((int)n));
}

int mr_sigmoid_gate_backward(mr_runtime *rt, const mr_tensor *r, const mr_tensor *v, const mr_tensor *dy,
                             const mr_tensor *dr, const mr_tensor *dv, size_t n)
{
    static const char op[] = "sigmoid_gate backward";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dr", dr, n));
    MR_TRY(mr_need_f32(op, "dv", dv, n));
    mr_profile_note(rt, 20.0 * (double)n, 7.0 * (double)n);
    return mr_launch(rt, "sigmoid_gate_backward", mr_vectors(rt, n), mr_in(r), mr_in(v), mr_in(dy), mr_out(dr),
                     mr_out(dv), mr_int((int)n));
}
