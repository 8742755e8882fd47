/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/mixture_topk.h"

#include "base/alloc.h"
#include "ops/check.h"

enum { BLOCK = 64 }; /* rows that a group routes, as in cl/mixture_topk.cl */

static size_t blocks(const struct mr_topk *s)
{
    return (size_t)mr_ceil_div(s->rows, BLOCK);
}

size_t mr_topk_routes(const struct mr_topk *s)
{
    return 3 * (size_t)s->rows * (size_t)s->active + (size_t)s->experts + 1 + mr_topk_scratch(s);
}

size_t mr_topk_scratch(const struct mr_topk *s)
{
    return blocks(s) * (size_t)s->experts;
}

static int need_topk(const char *op, const struct mr_topk *s, const mr_tensor *scores, const mr_tensor *routes,
                     const mr_tensor *weights)
{
    if (s->experts > MR_TOPK_EXPERTS || s->active < 1 || s->active > s->experts)
        return mr_fail(MR_EINVAL, "%s: %d active of %d experts, expected 1 to %d of at most %d", op, s->active,
                       s->experts, s->experts, MR_TOPK_EXPERTS);
    size_t n;
    MR_TRY(mr_need_shape(op, s->rows, s->experts, &n));
    MR_TRY(mr_need_count(op, mr_topk_routes(s)));
    MR_TRY(mr_need_f32(op, "scores", scores, n));
    MR_TRY(mr_need_i32(op, "routes", routes, mr_topk_routes(s)));
    return mr_need_f32(op, "weights", weights, (size_t)s->rows * (size_t)s->active);
}

/* balance * E * f_e * P_e is this times the expert's assignments and the sum of its scores. */
static float balance_factor(const struct mr_topk *s, float balance)
{
    float rows = (float)s->rows;
    return balance * (float)s->experts / (rows * (float)s->active) / rows;
}

int mr_topk_route(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *scores, const mr_tensor *routes,
                  const mr_tensor *weights, const mr_tensor *loss, float balance, const mr_tensor *scratch)
{
    MR_TRY(need_topk("topk route", s, scores, routes, weights));
    MR_TRY(mr_need_f32("topk route", "scratch", scratch, mr_topk_scratch(s)));
    if (mr_given(loss))
        MR_TRY(mr_need_f32("topk route", "loss", loss, 1));
    struct mr_arg factor = mr_float(balance_factor(s, balance));
    struct mr_arg rows = mr_int(s->rows), experts = mr_int(s->experts), active = mr_int(s->active);
    if (blocks(s) == 1)
        return mr_launch(rt, "topk_route", mr_rows(rt, 1), mr_in(scores), mr_out(routes), mr_out(weights),
                         mr_out(scratch), mr_out(loss), factor, rows, experts, active);
    MR_TRY(mr_launch(rt, "topk_choose", mr_rows(rt, blocks(s)), mr_in(scores), mr_out(routes), mr_out(weights),
                     mr_out(scratch), rows, experts, active));
    MR_TRY(mr_launch(rt, "topk_scan", mr_rows(rt, 1), mr_out(routes), mr_in(scratch), mr_out(loss), factor, rows,
                     experts, active));
    return mr_launch(rt, "topk_scatter", mr_rows(rt, blocks(s)), mr_out(routes), rows, experts, active);
}

int mr_topk_scores_backward(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *scores, const mr_tensor *routes,
                            const mr_tensor *weights, const mr_tensor *dweights, float balance,
                            const mr_tensor *dscores)
{
    MR_TRY(need_topk("topk backward", s, scores, routes, weights));
    MR_TRY(mr_need_f32("topk backward", "dweights", dweights, (size_t)s->rows * (size_t)s->active));
    MR_TRY(mr_need_f32("topk backward", "dscores", dscores, (size_t)s->rows * (size_t)s->experts));
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct mr_range range = mr_items(rt, (size_t)s->rows);
    if (info->lanes == 1) /* a row is more than an item */
        range.groups[0] = (size_t)mr_ceil_div(s->rows, BLOCK);
    return mr_launch(rt, "topk_scores_backward", range, mr_in(scores), mr_in(routes), mr_in(weights), mr_in(dweights),
                     mr_out(dscores), mr_float(balance_factor(s, balance)), mr_int(s->rows), mr_int(s->experts),
                     mr_int(s->active));
}

int mr_topk_load(mr_runtime *rt, const struct mr_topk *s, const mr_tensor *routes, int *load)
{
    int32_t first[MR_TOPK_EXPERTS + 1];
    if (s->experts < 1 || s->experts > MR_TOPK_EXPERTS)
        return mr_fail(MR_EINVAL, "topk load: %d experts, expected 1 to %d", s->experts, MR_TOPK_EXPERTS);
    MR_TRY(mr_need_i32("topk load", "routes", routes, mr_topk_routes(s)));
    MR_TRY(mr_read(rt, routes, 3 * (size_t)s->rows * (size_t)s->active, (size_t)s->experts + 1, first));
    for (int e = 0; e < s->experts; e++)
        load[e] = first[e + 1] - first[e];
    return 0;
}
