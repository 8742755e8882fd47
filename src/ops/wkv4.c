/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv4.h"

#include "base/alloc.h"
#include "ops/elementwise.h"

/* *n is the number of elements of all positions. */
static int need_sizes(const char *op, const struct mr_wkv4 *s, size_t *n)
{
    if (s->batch < 1 || s->time < 1 || s->dim < 1)
        return mr_fail(MR_EINVAL, "%s: batch %d, time %d, dim %d: all must be positive", op, s->batch, s->time, s->dim);
    if (!mr_mul((size_t)s->batch, (size_t)s->time, n) || !mr_mul(*n, (size_t)s->dim, n) || *n > (size_t)1 << 30)
        return mr_fail(MR_EINVAL, "%s: batch %d, time %d, dim %d exceed 2^30 elements, split the batch", op, s->batch,
                       s->time, s->dim);
    return 0;
}

/* A vector of channels of a text for each work-item. */
static struct mr_range channels(const mr_runtime *rt, const struct mr_wkv4 *s)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    int64_t vectors = (int64_t)s->batch * mr_ceil_div(s->dim, info->vec);
    return (struct mr_range){.groups = {(size_t)mr_ceil_div(vectors, info->lanes)}, .local_size = (size_t)info->lanes};
}

int mr_wkv4_forward(mr_runtime *rt, const struct mr_wkv4 *s, const mr_tensor *k, const mr_tensor *v,
                    const mr_tensor *decay, const mr_tensor *first, const mr_tensor *state, const mr_tensor *y)
{
    static const char op[] = "wkv4";
    size_t n, dim = (size_t)s->dim;
    MR_TRY(need_sizes(op, s, &n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "decay", decay, dim));
    MR_TRY(mr_need_f32(op, "first", first, dim));
    MR_TRY(mr_need_f32(op, "state", state, 3 * (size_t)s->batch * dim));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, 60.0 * (double)n);
    return mr_launch(rt, "wkv4_forward", channels(rt, s), mr_in(k), mr_in(v), mr_in(decay), mr_in(first), mr_out(state),
                     mr_out(y), mr_int(s->batch), mr_int(s->time), mr_int(s->dim));
}

size_t mr_wkv4_backward_scratch(const struct mr_wkv4 *s)
{
    return 2 * (size_t)s->batch * (size_t)s->dim;
}

int mr_wkv4_backward(mr_runtime *rt, const struct mr_wkv4 *s, const struct mr_wkv4_inputs *x,
                     const struct mr_wkv4_gradients *g, const mr_tensor *scratch)
{
    static const char op[] = "wkv4 backward";
    size_t n, dim = (size_t)s->dim, state = 3 * (size_t)s->batch * dim;
    MR_TRY(need_sizes(op, s, &n));
    const struct {
        const char *name;
        const mr_tensor *tensor;
        size_t count;
    } all[] = {{"k", x->k, n},
               {"v", x->v, n},
               {"decay", x->decay, dim},
               {"first", x->first, dim},
               {"state", x->state, state},
               {"y", x->y, n},
               {"dy", g->dy, n},
               {"dk", g->dk, n},
               {"dv", g->dv, n},
               {"dstate", g->dstate, state / 3 * 2},
               {"scratch", scratch, mr_wkv4_backward_scratch(s)}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        MR_TRY(mr_need_f32(op, all[i].name, all[i].tensor, all[i].count));
    mr_profile_note(rt, 52.0 * (double)n, 150.0 * (double)n);
    MR_TRY(mr_launch(rt, "wkv4_backward", channels(rt, s), mr_in(x->k), mr_in(x->v), mr_in(x->decay), mr_in(x->first),
                     mr_in(x->state), mr_in(x->y), mr_in(g->dy), mr_out(g->dk), mr_out(g->dv), mr_out(g->dstate),
                     mr_out(scratch), mr_int(s->batch), mr_int(s->time), mr_int(s->dim)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->ddecay, g->dfirst}, s->batch, 2, s->dim);
}

int mr_wkv4_step(mr_runtime *rt, const struct mr_wkv4_step *s, const mr_tensor *y)
{
    static const char op[] = "wkv4 step";
    size_t n;
    MR_TRY(mr_need_shape(op, s->rows, s->dim, &n));
    MR_TRY(mr_need_slots(op, &s->slots, s->rows, 3 * (size_t)s->dim));
    MR_TRY(mr_need_f32(op, "k", s->k, n));
    MR_TRY(mr_need_f32(op, "v", s->v, n));
    MR_TRY(mr_need_f32(op, "r", s->r, n));
    MR_TRY(mr_need_f32(op, "decay", s->decay, (size_t)s->dim));
    MR_TRY(mr_need_f32(op, "first", s->first, (size_t)s->dim));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 40.0 * (double)n, 80.0 * (double)n);
    return mr_launch(rt, "wkv4_step", mr_vectors(rt, n), mr_in(s->k), mr_in(s->v), mr_in(s->r), mr_in(s->decay),
                     mr_in(s->first), mr_out(s->slots.state), mr_in(s->slots.of), mr_out(y), mr_int(s->rows),
                     mr_int(s->dim), mr_int(s->slots.stride));
}
