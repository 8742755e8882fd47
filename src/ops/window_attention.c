/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/window_attention.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

/* What the kernels get as -D: a panel's four (D, PANEL) arrays and a (KEYS, PANEL) block fit into 32 KiB of local
 * memory; where D is too large for that, groups make the result's columns in pieces. */
struct cut {
    int panel, keys, columns;
    size_t panels, pieces; /* groups over positions, over the columns of a head */
    char defines[96];
};

static struct cut cut_of(const struct mr_window_attention *s)
{
    struct cut c = {.panel = s->width <= 48 ? 32 : 16, .keys = s->width <= 32 ? 64 : 32};
    c.columns = s->width <= 112 ? s->width : s->width <= 160 ? 64 : 32;
    c.panels = (size_t)mr_ceil_div(s->time, c.panel);
    c.pieces = (size_t)mr_ceil_div(s->width, c.columns);
    snprintf(c.defines, sizeof c.defines, "-DD=%d -DPANEL=%d -DKEYS=%d -DCOLUMNS=%d%s", s->width, c.panel, c.keys,
             c.columns, s->dropout ? " -DDROPOUT" : "");
    return c;
}

/* Words of a row of the mask; masks are drawn 64 elements at a time. */
static int kept_words(const struct mr_window_attention *s)
{
    return 2 * (int)mr_ceil_div(s->time, 64);
}

size_t mr_window_attention_kept(const struct mr_window_attention *s)
{
    return (size_t)s->batch * (size_t)s->heads * (size_t)s->time * (size_t)kept_words(s);
}

/* Draws the mask, or gives none. */
static int draw_mask(mr_runtime *rt, const struct mr_window_attention *s, mr_tensor *mask)
{
    *mask = (mr_tensor){0};
    if (!s->dropout)
        return 0;
    if (!mr_given(s->kept))
        return mr_fail(MR_EINVAL, "window_attention: dropout has no room for its mask");
    *mask = *s->kept;
    mask->dtype = MR_I32;
    return mr_dropout_bits(rt, s->dropout, mask, mr_window_attention_kept(s));
}

static float grow_of(const struct mr_window_attention *s)
{
    return s->dropout ? (float)(1 / (1 - (double)s->dropout->p)) : 1;
}

size_t mr_window_attention_scratch(const struct mr_window_attention *s)
{
    return (size_t)s->batch * (size_t)s->heads * (size_t)s->time;
}

static int need_shape(const char *op, const struct mr_window_attention *s, const mr_tensor *qkv)
{
    int64_t columns = (int64_t)s->heads * s->width;
    if (s->batch < 1 || s->time < 1 || s->heads < 1 || s->width < 1 || s->width > MR_WINDOW_ATTENTION_WIDTH ||
        s->window < 1 || s->position < 0)
        return mr_fail(MR_EINVAL,
                       "%s: batch %d, time %d, %d heads of width %d, window %d, position %lld: all must be "
                       "positive, the width at most %d",
                       op, s->batch, s->time, s->heads, s->width, s->window, (long long)s->position,
                       MR_WINDOW_ATTENTION_WIDTH);
    if (columns > s->stride || s->q < 0 || s->k < 0 || s->v < 0 || s->q > s->stride - columns ||
        s->k > s->stride - columns || s->v > s->stride - columns)
        return mr_fail(MR_EINVAL, "%s: columns from %d, %d and %d on of %d heads of width %d are not all in rows of %d",
                       op, s->q, s->k, s->v, s->heads, s->width, s->stride);
    size_t n, rows;
    if (!mr_mul((size_t)s->batch, (size_t)s->time, &rows) || rows > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: a batch of %d x %d positions is not possible", op, s->batch, s->time);
    MR_TRY(mr_need_shape(op, (int)rows, s->stride, &n));
    return mr_need_f32(op, "qkv", qkv, n);
}

static int need_rings(const char *op, const struct mr_window_attention *s, const mr_tensor *ring_k,
                      const mr_tensor *ring_v)
{
    size_t n;
    if (!mr_mul((size_t)s->batch * (size_t)s->window, (size_t)s->heads * (size_t)s->width, &n) || n > (size_t)1 << 30)
        return mr_fail(MR_EINVAL, "%s: rings of %d x %d positions exceed 2^30 elements", op, s->batch, s->window);
    MR_TRY(mr_need_f32(op, "ring_k", ring_k, n));
    return mr_need_f32(op, "ring_v", ring_v, n);
}

static size_t outputs(const struct mr_window_attention *s)
{
    return (size_t)s->batch * (size_t)s->time * (size_t)s->heads * (size_t)s->width;
}

static struct mr_range groups(const mr_runtime *rt, const struct cut *c, size_t x, size_t y, size_t z)
{
    return (struct mr_range){{x, y, z}, (size_t)mr_runtime_info(rt)->lanes, c->defines};
}

/* Operations of one product over all pairs of a query and a key. */
static double product(const struct mr_window_attention *s, double before)
{
    double T = s->time, W = s->window, seen = W >= T ? T * (T + 1) / 2 : W * (T - W) + W * (W + 1) / 2;
    double older = before < W - 1 ? before : W - 1;
    return 2 * s->width * (double)s->batch * s->heads * (seen + older * (T < W ? T : W) / 2);
}

int mr_window_attention_forward(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                                const mr_tensor *ring_k, const mr_tensor *ring_v, const mr_tensor *y,
                                const mr_tensor *lse)
{
    static const char op[] = "window_attention";
    mr_tensor mask;
    MR_TRY(need_shape(op, s, qkv));
    MR_TRY(mr_need_f32(op, "y", y, outputs(s)));
    bool rings = mr_given(ring_k) || mr_given(ring_v);
    if (rings)
        MR_TRY(need_rings(op, s, ring_k, ring_v));
    if (mr_given(lse))
        MR_TRY(mr_need_f32(op, "lse", lse, outputs(s) / (size_t)s->width));
    if (rings && s->dropout)
        return mr_fail(MR_EINVAL, "%s: no dropout with rings", op);
    MR_TRY(draw_mask(rt, s, &mask));
    struct cut c = cut_of(s);
    int before = !rings ? 0 : s->position < s->window - 1 ? (int)s->position : s->window - 1;
    mr_profile_note(rt, 16.0 * (double)outputs(s), 2 * product(s, before));
    return mr_launch(rt, "window_attention_forward",
                     groups(rt, &c, c.panels, (size_t)s->heads * c.pieces, (size_t)s->batch), mr_in(qkv), mr_in(ring_k),
                     mr_in(ring_v), mr_out(y), mr_out(lse), mr_int(s->time), mr_int(s->heads), mr_int(s->window),
                     mr_float(s->scale), mr_int(s->stride), mr_int(s->q), mr_int(s->k), mr_int(s->v), mr_int(before),
                     mr_int((int)(s->position % s->window)), mr_in(&mask), mr_int(kept_words(s)), mr_float(grow_of(s)));
}

int mr_window_attention_append(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                               const mr_tensor *ring_k, const mr_tensor *ring_v)
{
    static const char op[] = "window_attention append";
    MR_TRY(need_shape(op, s, qkv));
    MR_TRY(need_rings(op, s, ring_k, ring_v));
    struct cut c = cut_of(s);
    int count = s->time < s->window ? s->time : s->window;
    mr_profile_note(rt, 16.0 * s->batch * count * s->heads * s->width, 0);
    return mr_launch(rt, "window_attention_append", groups(rt, &c, (size_t)count, (size_t)s->batch, 1), mr_in(qkv),
                     mr_out(ring_k), mr_out(ring_v), mr_int(s->time), mr_int(s->heads), mr_int(s->window),
                     mr_int(s->stride), mr_int(s->k), mr_int(s->v), mr_int(count),
                     mr_int((int)(s->position % s->window)));
}

int mr_window_attention_backward(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                                 const mr_tensor *y, const mr_tensor *lse, const mr_tensor *dy, const mr_tensor *dqkv,
                                 const mr_tensor *scratch)
{
    static const char op[] = "window_attention backward";
    mr_tensor mask;
    MR_TRY(need_shape(op, s, qkv));
    size_t n = outputs(s), units = n / (size_t)s->width;
    MR_TRY(mr_need_f32(op, "y", y, n));
    MR_TRY(mr_need_f32(op, "lse", lse, units));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dqkv", dqkv, (size_t)s->batch * (size_t)s->time * (size_t)s->stride));
    MR_TRY(mr_need_f32(op, "scratch", scratch, units));
    MR_TRY(draw_mask(rt, s, &mask));
    struct cut c = cut_of(s);
    struct mr_range range = groups(rt, &c, c.panels, (size_t)s->heads * c.pieces, (size_t)s->batch);
    mr_profile_note(rt, 24.0 * (double)n, 3 * product(s, 0));
    MR_TRY(mr_launch(rt, "window_attention_backward_queries", range, mr_in(qkv), mr_in(y), mr_in(lse), mr_in(dy),
                     mr_out(dqkv), mr_out(scratch), mr_int(s->time), mr_int(s->heads), mr_int(s->window),
                     mr_float(s->scale), mr_int(s->stride), mr_int(s->q), mr_int(s->k), mr_int(s->v), mr_in(&mask),
                     mr_int(kept_words(s)), mr_float(grow_of(s))));
    mr_profile_note(rt, 24.0 * (double)n, 4 * product(s, 0));
    return mr_launch(rt, "window_attention_backward_keys", range, mr_in(qkv), mr_in(lse), mr_in(scratch), mr_in(dy),
                     mr_out(dqkv), mr_int(s->time), mr_int(s->heads), mr_int(s->window), mr_float(s->scale),
                     mr_int(s->stride), mr_int(s->q), mr_int(s->k), mr_int(s->v), mr_in(&mask), mr_int(kept_words(s)),
                     mr_float(grow_of(s)));
}
