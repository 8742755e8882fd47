/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/norm_shift.h"

#include <stdio.h>

#include "base/alloc.h"

enum { MOST = 6 };

/* Columns that a group takes: a row is cut where it is long, so that all units of the device share it. */
static int piece_of(const mr_runtime *rt, const struct mr_norm_shift *s)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    int grain = info->lanes * info->vec, least = info->lanes == 1 ? 8192 / (s->count + 2) : 2 * grain;
    int share = (int)mr_ceil_div((int64_t)s->dim * s->rows, info->compute_units);
    int piece = share > least ? share : least;
    return (int)mr_ceil_div(piece, grain) * grain;
}

int mr_norm_shift_step(mr_runtime *rt, const struct mr_norm_shift *s, const mr_tensor *x, const mr_tensor *const maa[],
                       const mr_tensor *out)
{
    static const char op[] = "norm_shift step";
    const mr_tensor *share[MOST] = {NULL};
    size_t n, outputs;
    char defines[64];
    MR_TRY(mr_need_shape(op, s->rows, s->dim, &n));
    if (s->count < 1 || s->count > MOST)
        return mr_fail(MR_EINVAL, "%s: %d mixtures, expected 1 to %d", op, s->count, MOST);
    if (!mr_mul(n, (size_t)s->count + (s->rest ? 2 : 0), &outputs))
        return mr_fail(MR_EINVAL, "%s: %d rows of %d are too many", op, s->rows, s->dim);
    MR_TRY(mr_need_count(op, outputs));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "out", out, outputs));
    MR_TRY(mr_need_slots(op, &s->slots, s->rows, (size_t)s->dim));
    if (s->norm == MR_NORM_LAYER)
        MR_TRY(mr_need_f32(op, "weight", s->weight, (size_t)s->dim));
    if (s->norm == MR_NORM_LAYER && mr_given(s->bias))
        MR_TRY(mr_need_f32(op, "bias", s->bias, (size_t)s->dim));
    for (int k = 0; k < s->count; k++) {
        MR_TRY(mr_need_f32(op, "maa", maa[k], (size_t)s->dim));
        share[k] = maa[k];
    }
    int piece = piece_of(rt, s);
    struct mr_range range = {
        {(size_t)mr_ceil_div(s->dim, piece), (size_t)s->rows, 1}, (size_t)mr_runtime_info(rt)->lanes, defines};
    snprintf(defines, sizeof defines, "-DCOUNT=%d -DNORM=%d -DKEEPS=%d -DREST=%d", s->count, (int)s->norm, s->keeps,
             s->rest);
    mr_profile_note(rt, 4.0 * ((double)outputs + 3.0 * (double)n + s->count * (double)s->dim), 4.0 * (double)outputs);
    return mr_launch(rt, "norm_shift_step", range, mr_in(x), mr_in(s->weight), mr_in(s->bias), mr_in(share[0]),
                     mr_in(share[1]), mr_in(share[2]), mr_in(share[3]), mr_in(share[4]), mr_in(share[5]),
                     mr_out(s->slots.state), mr_in(s->slots.of), mr_out(out), mr_int(s->rows), mr_int(s->dim),
                     mr_int(s->slots.stride), mr_int(piece), mr_float(s->eps));
}
