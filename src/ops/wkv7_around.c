/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv7_around.h"

#include <stdio.h>

#include "ops/check.h"
#include "ops/elementwise.h"

size_t mr_wkv7_around_scratch(const mr_runtime *rt, const struct mr_wkv7 *s)
{
    return mr_row_blocks(rt, (size_t)s->batch * (size_t)s->time) * 2 * (size_t)s->heads * (size_t)s->width;
}

/* Groups: shares of the rows, and heads where work-items share a row. */
static struct mr_range groups(const mr_runtime *rt, const struct mr_wkv7 *s, char defines[16])
{
    int lanes = mr_runtime_info(rt)->lanes;
    snprintf(defines, 16, "-DN=%d", s->width);
    return (struct mr_range){{mr_row_blocks(rt, (size_t)s->batch * (size_t)s->time), lanes > 1 ? (size_t)s->heads : 1},
                             (size_t)lanes,
                             defines};
}

struct named {
    const char *name;
    const mr_tensor *tensor;
    size_t count;
};

static int need_all(const char *op, const struct named *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        MR_TRY(mr_need_f32(op, list[i].name, list[i].tensor, list[i].count));
    return 0;
}

int mr_wkv7_inputs_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_inputs *x,
                            const struct mr_wkv7_inputs_gradients *g, const mr_tensor *scratch)
{
    static const char op[] = "wkv7 inputs backward";
    size_t n, pairs, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    bool mixes = mr_given(x->v_first);
    MR_TRY(mr_wkv7_need(op, s, &n, &pairs));
    const struct named all[] = {
        {"w", x->w, n},
        {"a", x->a, n},
        {"k", x->k, n},
        {"k_k", x->k_k, dim},
        {"k_a", x->k_a, dim},
        {"dchange", g->dchange, n},
        {"dremoval", g->dremoval, n},
        {"dkey", g->dkey, n},
        {"dkappa", g->dkappa, n},
        {"dk_k", g->dk_k, dim},
        {"dk_a", g->dk_a, dim},
        {"scratch", scratch, mr_wkv7_around_scratch(rt, s)},
        {"v", x->v, n},
        {"v_first", x->v_first, n},
        {"share", x->share, n},
        {"dvalue", g->dvalue, n},
        {"dshare", g->dshare, n},
        {"dv_first", g->dv_first, n},
    };
    size_t count = sizeof all / sizeof all[0];
    MR_TRY(need_all(op, all, mixes ? count : count - 6));
    struct mr_range range = groups(rt, s, defines);
    mr_profile_note(rt, (mixes ? 68.0 : 36.0) * (double)n, 90.0 * (double)n);
    MR_TRY(mr_launch(rt, "wkv7_inputs_backward", range, mr_in(x->w), mr_in(x->a), mr_in(x->k),
                     mr_in(mixes ? x->v : NULL), mr_in(x->v_first), mr_in(mixes ? x->share : NULL), mr_in(x->k_k),
                     mr_in(x->k_a), mr_out(g->dchange), mr_out(g->dremoval), mr_in(g->dkappa), mr_out(g->dkey),
                     mr_out(mixes ? g->dvalue : NULL), mr_out(mixes ? g->dshare : NULL),
                     mr_out(mixes ? g->dv_first : NULL), mr_out(scratch), mr_int(s->batch * s->time),
                     mr_int(s->heads)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->dk_k, g->dk_a}, (int)range.groups[0], 2, (int)dim);
}

int mr_wkv7_output_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_output *x,
                            const struct mr_wkv7_output_gradients *g, const mr_tensor *scratch)
{
    static const char op[] = "wkv7 output backward";
    size_t n, pairs, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv7_need(op, s, &n, &pairs));
    const struct named all[] = {
        {"r", x->r, n},
        {"k", x->k, n},
        {"v", x->v, n},
        {"bonus", x->bonus, dim},
        {"g", x->g, n},
        {"x", x->x, n},
        {"dy", g->dy, n},
        {"dr", g->dr, n},
        {"dk", g->dk, n},
        {"dv", g->dv, n},
        {"dg", g->dg, n},
        {"dx", g->dx, n},
        {"dbonus", g->dbonus, dim},
        {"scratch", scratch, mr_wkv7_around_scratch(rt, s)},
    };
    MR_TRY(need_all(op, all, sizeof all / sizeof all[0]));
    struct mr_range range = groups(rt, s, defines);
    mr_profile_note(rt, 48.0 * (double)n, 16.0 * (double)n);
    MR_TRY(mr_launch(rt, "wkv7_output_backward", range, mr_in(x->r), mr_in(x->k), mr_in(x->v), mr_in(x->bonus),
                     mr_in(x->g), mr_in(x->x), mr_in(g->dy), mr_out(g->dr), mr_out(g->dk), mr_out(g->dv), mr_out(g->dg),
                     mr_out(g->dx), mr_out(scratch), mr_int(s->batch * s->time), mr_int(s->heads)));
    return mr_sum_rows(rt, scratch, (const mr_tensor *const[]){g->dbonus}, (int)range.groups[0], 1, (int)dim);
}
