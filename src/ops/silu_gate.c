/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/silu_gate.h"

#include "ops/check.h"

int mr_silu_gate_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *g, const mr_tensor *y, size_t n)
{
    static const char op[] = "silu_gate";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "g", g, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, 5.0 * (double)n);
    return mr_launch(rt, "silu_gate_forward", mr_vectors(rt, n), mr_in(x), mr_in(g), mr_out(y), mr_int((int)n));
}

int mr_silu_gate_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *g, const mr_tensor *dy,
                          const mr_tensor *dx, const mr_tensor *dg, size_t n)
{
    static const char op[] = "silu_gate backward";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "g", g, n));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    MR_TRY(mr_need_f32(op, "dg", dg, n));
    mr_profile_note(rt, 20.0 * (double)n, 10.0 * (double)n);
    return mr_launch(rt, "silu_gate_backward", mr_vectors(rt, n), mr_in(x), mr_in(g), mr_in(dy), mr_out(dx), mr_out(dg),
                     mr_int((int)n));
}
