/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv7_backward.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

size_t mr_wkv7_backward_scratch(const mr_runtime *rt, const struct mr_wkv7 *s)
{
    size_t row = mr_round_up((size_t)s->width, (size_t)mr_runtime_info(rt)->vec);
    size_t rows = (size_t)s->width + 4 * (size_t)mr_wkv7_chunk(rt, s->width);
    return (size_t)s->batch * (size_t)s->heads * rows * row;
}

static int need(const mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_recurrence *x,
                const struct mr_wkv7_gradients *g, const mr_tensor *scratch, size_t *n)
{
    static const char op[] = "wkv7 backward";
    size_t pairs;
    MR_TRY(mr_wkv7_need(op, s, n, &pairs));
    const struct {
        const char *name;
        const mr_tensor *tensor;
    } rows[] = {{"r", x->r},
                {"change", x->change},
                {"k", x->k},
                {"v", x->v},
                {"kappa", x->kappa},
                {"removal", x->removal},
                {"dy", g->dy},
                {"dr", g->dr},
                {"dk", g->dk},
                {"dv", g->dv},
                {"dchange", g->dchange},
                {"dkappa", g->dkappa},
                {"dremoval", g->dremoval}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        MR_TRY(mr_need_f32(op, rows[i].name, rows[i].tensor, *n));
    size_t kept = mr_wkv7_kept(rt, s), room = mr_wkv7_backward_scratch(rt, s);
    MR_TRY(mr_need_count(op, kept));
    MR_TRY(mr_need_count(op, room));
    MR_TRY(mr_need_f32(op, "kept", x->kept, kept));
    MR_TRY(mr_need_f32(op, "dstate", g->dstate, pairs * (size_t)s->width * (size_t)s->width));
    return mr_need_f32(op, "scratch", scratch, room);
}

int mr_wkv7_backward(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_recurrence *x,
                     const struct mr_wkv7_gradients *g, const mr_tensor *scratch)
{
    size_t n;
    char defines[32];
    int chunk = mr_wkv7_chunk(rt, s->width);
    MR_TRY(need(rt, s, x, g, scratch, &n));
    snprintf(defines, sizeof defines, "-DN=%d -DCHUNK=%d", s->width, chunk);
    struct mr_range range = {{(size_t)s->batch * (size_t)s->heads}, (size_t)mr_runtime_info(rt)->lanes, defines};
    mr_profile_note(rt, 64.0 * (double)n + 4.0 * (double)mr_wkv7_kept(rt, s),
                    (double)n * (22.0 * chunk + 18.0 * s->width));
    return mr_launch(rt, "wkv7_backward", range, mr_in(x->r), mr_in(x->change), mr_in(x->k), mr_in(x->v),
                     mr_in(x->kappa), mr_in(x->removal), mr_in(x->kept), mr_in(g->dy), mr_out(g->dr),
                     mr_out(g->dchange), mr_out(g->dk), mr_out(g->dv), mr_out(g->dkappa), mr_out(g->dremoval),
                     mr_out(g->dstate), mr_out(scratch), mr_int(s->time), mr_int(s->heads));
}
