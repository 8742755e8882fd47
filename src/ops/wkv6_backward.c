/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv6_backward.h"

#include "base/alloc.h"
#include "ops/check.h"
#include "ops/elementwise.h"

static size_t chunks_of(const struct mr_wkv6 *s)
{
    return (size_t)mr_ceil_div(s->time, MR_WKV6_CHUNK);
}

size_t mr_wkv6_backward_scratch(const struct mr_wkv6 *s)
{
    return (size_t)s->batch * chunks_of(s) * (s->varies ? 1 : 2) * (size_t)s->heads * (size_t)s->width;
}

struct named {
    const char *name;
    const mr_tensor *tensor;
    size_t count;
};

static int need(const struct mr_wkv6 *s, const struct mr_wkv6_recurrence *x, const struct mr_wkv6_gradients *g,
                const mr_tensor *ends, const mr_tensor *scratch, size_t *n)
{
    static const char op[] = "wkv6 backward";
    MR_TRY(mr_wkv6_need(op, s, n));
    size_t dim = (size_t)s->heads * (size_t)s->width, decays = s->varies ? *n : dim, kept = mr_wkv6_kept(s);
    const struct named all[] = {
        {"r", x->r, *n},
        {"k", x->k, *n},
        {"v", x->v, *n},
        {"change", x->change, decays},
        {"u", x->u, dim},
        {"kept", x->kept, kept},
        {"dy", g->dy, *n},
        {"dr", g->dr, *n},
        {"dk", g->dk, *n},
        {"dv", g->dv, *n},
        {"dchange", g->dchange, decays},
        {"dstate", g->dstate, (size_t)s->batch * dim * (size_t)s->width},
        {"ends", ends, kept},
        {"scratch", scratch, mr_wkv6_backward_scratch(s)},
    };
    MR_TRY(mr_need_count(op, kept));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        MR_TRY(mr_need_f32(op, all[i].name, all[i].tensor, all[i].count));
    return 0;
}

int mr_wkv6_backward(mr_runtime *rt, const struct mr_wkv6 *s, const struct mr_wkv6_recurrence *x,
                     const struct mr_wkv6_gradients *g, const mr_tensor *ends, const mr_tensor *scratch)
{
    size_t n, pairs = (size_t)s->batch * (size_t)s->heads, chunks = chunks_of(s);
    char defines[16];
    MR_TRY(need(s, x, g, ends, scratch, &n));
    const struct mr_device_info *info = mr_runtime_info(rt);
    int columns = info->lanes == 1 ? 8 * info->vec : info->lanes;
    struct mr_range range = mr_wkv6_variant((struct mr_range){.local_size = (size_t)info->lanes}, s, defines);
    struct mr_range values = range, keys = range;
    values.groups[0] = (size_t)mr_ceil_div(s->width, columns);
    keys.groups[0] = chunks;
    values.groups[1] = keys.groups[1] = pairs;
    mr_profile_note(rt, 20.0 * (double)n + 4.0 * (double)mr_wkv6_kept(s), 8.0 * (double)n * s->width);
    MR_TRY(mr_launch(rt, "wkv6_backward_values", values, mr_in(x->r), mr_in(x->k), mr_in(x->change), mr_in(x->u),
                     mr_in(g->dy), mr_out(g->dv), mr_out(g->dstate), mr_out(ends), mr_int(s->time), mr_int(s->heads),
                     mr_int(s->varies)));
    mr_profile_note(rt, 32.0 * (double)n + 8.0 * (double)mr_wkv6_kept(s),
                    (double)n * (4.0 * s->width + 6.0 * MR_WKV6_CHUNK));
    MR_TRY(mr_launch(rt, "wkv6_backward_keys", keys, mr_in(x->r), mr_in(x->k), mr_in(x->v), mr_in(x->change),
                     mr_in(x->u), mr_in(x->kept), mr_in(ends), mr_in(g->dy), mr_out(g->dr), mr_out(g->dk),
                     mr_out(s->varies ? g->dchange : NULL), mr_out(scratch), mr_int(s->time), mr_int(s->heads),
                     mr_int(s->varies)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->du, g->dchange}, (int)((size_t)s->batch * chunks),
                       s->varies ? 1 : 2, s->heads * s->width);
}

int mr_wkv6_change_backward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x,
                            const mr_tensor *dchange)
{
    static const char op[] = "wkv6 change backward";
    size_t n, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv6_need_decay(op, s, decay, x, &n));
    MR_TRY(mr_need_f32(op, "dchange", dchange, n));
    struct mr_range range = mr_wkv6_variant(mr_row_shares(rt, n / dim, 8 * dim), s, defines);
    mr_profile_note(rt, 12.0 * (double)n, 40.0 * (double)n);
    return mr_launch(rt, "wkv6_change_backward", range, mr_in(decay), mr_in(x), mr_out(dchange), mr_int((int)(n / dim)),
                     mr_int((int)dim));
}

int mr_wkv6_heads_backward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *first,
                           const struct mr_wkv6_heads_gradients *g)
{
    static const char op[] = "wkv6 heads backward";
    size_t n, heads = (size_t)s->heads, dim = heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv6_need(op, s, &n));
    MR_TRY(mr_need_f32(op, "decay", decay, heads));
    MR_TRY(mr_need_f32(op, "first", first, heads));
    MR_TRY(mr_need_f32(op, "dchange", g->dchange, dim));
    MR_TRY(mr_need_f32(op, "du", g->du, dim));
    MR_TRY(mr_need_f32(op, "ddecay", g->ddecay, heads));
    MR_TRY(mr_need_f32(op, "dfirst", g->dfirst, heads));
    struct mr_range range = mr_wkv6_variant(mr_row_shares(rt, heads, (size_t)s->width), s, defines);
    return mr_launch(rt, "wkv6_heads_backward", range, mr_in(decay), mr_in(first), mr_in(g->dchange), mr_in(g->du),
                     mr_out(g->ddecay), mr_out(g->dfirst), mr_int(s->heads));
}
