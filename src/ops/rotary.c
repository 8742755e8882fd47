/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/rotary.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "ops/check.h"

int mr_rotary_table(mr_runtime *rt, const mr_tensor *table, int places, int turned, double base)
{
    size_t n;
    MR_TRY(mr_need_shape("rotary table", places, turned, &n));
    MR_TRY(mr_need_f32("rotary table", "table", table, n));
    float *values = mr_alloc(n, sizeof *values);
    if (!values)
        return MR_ENOMEM;
    int half = turned / 2;
    for (int i = 0; i < half; i++) {
        float rate = (float)pow(base, -2.0 * i / turned);
        for (int p = 0; p < places; p++) {
            float *row = values + (size_t)p * (size_t)turned, angle = (float)p * rate;
            row[i] = (float)cos((double)angle);
            row[i + half] = (float)sin((double)angle);
        }
    }
    int err = mr_write(rt, table, 0, n, values);
    free(values);
    return err;
}

static int need(const char *op, const struct mr_rotary *s, size_t *count)
{
    size_t table, dim;
    if (s->turned < 2 || s->turned % 2 || s->turned > s->width)
        return mr_fail(MR_EINVAL, "%s: %d of a head's %d numbers cannot turn: it must be an even number from 2 on", op,
                       s->turned, s->width);
    if (!s->positions && (s->time < 1 || s->rows % s->time || s->first < 0 || s->first > s->places - s->time))
        return mr_fail(MR_EINVAL, "%s: %d rows of texts of %d positions from %d on, %d places", op, s->rows, s->time,
                       s->first, s->places);
    if (s->heads < 1 || !mr_mul(3 * (size_t)s->heads, (size_t)s->width, &dim) || dim > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: %d heads of width %d", op, s->heads, s->width);
    MR_TRY(mr_need_shape(op, s->rows, (int)dim, count));
    MR_TRY(mr_need_shape(op, s->places, s->turned, &table));
    return mr_need_f32(op, "table", s->table, table);
}

static struct mr_range range_of(mr_runtime *rt, const struct mr_rotary *s)
{
    return mr_row_shares(rt, 3 * (size_t)s->rows * (size_t)s->heads, (size_t)s->width);
}

int mr_rotary_forward(mr_runtime *rt, const struct mr_rotary *s, const mr_tensor *x, const mr_tensor *y)
{
    static const char op[] = "rotary";
    size_t n = 0;
    MR_TRY(need(op, s, &n));
    if (s->positions)
        MR_TRY(mr_need_i32(op, "positions", s->positions, (size_t)s->rows));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 8.0 * (double)n, 2.0 * (double)n);
    return mr_launch(rt, "rotary_forward", range_of(rt, s), mr_in(x), mr_in(s->positions), mr_in(s->table), mr_out(y),
                     mr_int(s->rows), mr_int(s->heads), mr_int(s->width), mr_int(s->turned), mr_int(s->first),
                     mr_int(s->time), mr_int(s->places));
}

int mr_rotary_backward(mr_runtime *rt, const struct mr_rotary *s, const mr_tensor *dy, const mr_tensor *dx)
{
    static const char op[] = "rotary backward";
    size_t n = 0;
    MR_TRY(need(op, s, &n));
    if (s->positions || s->first)
        return mr_fail(MR_EINVAL, "%s: only of whole texts from position 0 on", op);
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dx", dx, n));
    mr_profile_note(rt, 8.0 * (double)n, 2.0 * (double)n);
    return mr_launch(rt, "rotary_backward", range_of(rt, s), mr_in(dy), mr_in(s->table), mr_out(dx), mr_int(s->rows),
                     mr_int(s->heads), mr_int(s->width), mr_int(s->turned), mr_int(s->time), mr_int(s->places));
}
