/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/attention_step.h"

#include <stdio.h>

#include "base/alloc.h"

static int need_shape(const char *op, const struct mr_attention_step *s, size_t *dim)
{
    if (s->rows < 1 || s->heads < 1 || s->width < 1 || s->width > MR_ATTENTION_STEP_WIDTH || s->window < 1)
        return mr_fail(MR_EINVAL,
                       "%s: %d rows, %d heads of width %d, window %d: all must be positive, the width at most %d", op,
                       s->rows, s->heads, s->width, s->window, MR_ATTENTION_STEP_WIDTH);
    if (!mr_mul((size_t)s->heads, (size_t)s->width, dim) || *dim > (size_t)s->stride)
        return mr_fail(MR_EINVAL, "%s: %d heads of width %d do not fit into rows of %d", op, s->heads, s->width,
                       s->stride);
    int last = s->stride - (int)*dim;
    if (s->q < 0 || s->k < 0 || s->v < 0 || s->q > last || s->k > last || s->v > last || s->gate > last)
        return mr_fail(MR_EINVAL,
                       "%s: columns from %d, %d, %d and %d on of %d heads of width %d are not all in rows of %d", op,
                       s->q, s->k, s->v, s->gate, s->heads, s->width, s->stride);
    return 0;
}

int mr_attention_step(mr_runtime *rt, const struct mr_attention_step *s, const mr_tensor *qkv, const mr_tensor *y)
{
    static const char op[] = "attention step";
    size_t n, ring, dim = 0;
    char defines[32];
    struct mr_slots values = s->keys;
    values.state = s->values;
    MR_TRY(need_shape(op, s, &dim));
    MR_TRY(mr_need_shape(op, s->rows, s->stride, &n));
    if (!mr_mul(dim, (size_t)s->window, &ring))
        return mr_fail(MR_EINVAL, "%s: a ring of %d positions is too large", op, s->window);
    MR_TRY(mr_need_slots(op, &s->keys, s->rows, ring));
    MR_TRY(mr_need_slots(op, &values, s->rows, ring));
    MR_TRY(mr_need_i32(op, "positions", s->positions, (size_t)s->rows));
    MR_TRY(mr_need_f32(op, "qkv", qkv, n));
    MR_TRY(mr_need_f32(op, "y", y, (size_t)s->rows * dim));
    const struct mr_device_info *info = mr_runtime_info(rt);
    int together = info->lanes == 1 && 4 * info->vec > s->width ? 4 * info->vec / s->width : 1; /* heads, or less */
    bool paired = info->lanes == 1 && 2 * s->width == info->vec && s->heads % 2 == 0;
    size_t units = (size_t)s->rows * (size_t)mr_ceil_div(s->heads, together);
    struct mr_range range = mr_row_shares(rt, units, (size_t)s->window * (size_t)(s->width * together));
    snprintf(defines, sizeof defines, "-DD=%d -DPAIRED=%d", s->width, paired);
    range.defines = defines;
    mr_profile_note(rt, 8.0 * s->rows * (double)ring, 4.0 * s->rows * (double)ring);
    return mr_launch(rt, "attention_step", range, mr_in(qkv), mr_out(s->keys.state), mr_out(s->values),
                     mr_in(s->keys.of), mr_in(s->positions), mr_out(y), mr_int(s->rows), mr_int(s->heads),
                     mr_int(s->window), mr_int(s->stride), mr_int(s->keys.stride), mr_float(s->scale), mr_int(s->q),
                     mr_int(s->k), mr_int(s->v), mr_int(s->gate));
}
