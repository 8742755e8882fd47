/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv6_step.h"

#include <stdio.h>

static int need_inputs(const char *op, const struct mr_wkv6_step *s, size_t n, size_t dim)
{
    size_t numbers = s->decays < MR_DECAY_CHANNEL ? (size_t)s->heads : dim;
    MR_TRY(mr_need_f32(op, "r", s->r, n));
    MR_TRY(mr_need_f32(op, "k", s->k, n));
    MR_TRY(mr_need_f32(op, "v", s->v, n));
    if (mr_given(s->gate))
        MR_TRY(mr_need_f32(op, "gate", s->gate, n));
    MR_TRY(mr_need_f32(op, "decay", s->decay, numbers));
    MR_TRY(mr_need_f32(op, "u", s->u, numbers));
    if (mr_given(s->x) != (s->decays == MR_DECAY_ROW))
        return mr_fail(MR_EINVAL, "%s: x %s", op,
                       mr_given(s->x) ? "has no place where rows share their decay" : "is missing, decays are per row");
    if (mr_given(s->x))
        MR_TRY(mr_need_f32(op, "x", s->x, n));
    MR_TRY(mr_need_f32(op, "weight", s->weight, dim));
    return mr_need_f32(op, "bias", s->bias, dim);
}

int mr_wkv6_step(mr_runtime *rt, const struct mr_wkv6_step *s, const mr_tensor *y)
{
    static const char op[] = "wkv6 step";
    char defines[32];
    size_t n, dim, square = (size_t)s->width * (size_t)s->width, units = (size_t)s->rows * (size_t)s->heads;
    MR_TRY(mr_need_heads(op, s->rows, s->heads, s->width, MR_WKV6_STEP_WIDTH, &dim, &n));
    MR_TRY(need_inputs(op, s, n, dim));
    MR_TRY(mr_need_slots(op, &s->slots, s->rows, dim * (size_t)s->width));
    MR_TRY(mr_need_f32(op, "y", y, n));
    struct mr_range range = mr_row_shares(rt, units, square);
    snprintf(defines, sizeof defines, "-DN=%d -DDECAYS=%d", s->width, (int)s->decays);
    range.defines = defines;
    mr_profile_note(rt, 8.0 * (double)(units * square) + 24.0 * (double)n, 6.0 * (double)(units * square));
    return mr_launch(rt, "wkv6_step", range, mr_in(s->r), mr_in(s->k), mr_in(s->v), mr_in(s->gate), mr_in(s->decay),
                     mr_in(s->x), mr_in(s->u), mr_in(s->weight), mr_in(s->bias), mr_out(s->slots.state),
                     mr_in(s->slots.of), mr_out(y), mr_int(s->rows), mr_int(s->heads), mr_int(s->slots.stride),
                     mr_float(s->eps));
}
