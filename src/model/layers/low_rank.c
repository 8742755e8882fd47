/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/layers/low_rank.h"

#include "model/workspace.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "rt/gemm.h"

int mr_low_rank_plan(struct mr_low_rank *pair, struct mr_planner *p, const char *prefix, const char *down,
                     const char *up, const char *base, enum mr_activation act)
{
    pair->down = mr_param_find(p->params, prefix, down);
    pair->up = mr_param_find(p->params, prefix, up);
    pair->base = base ? mr_param_find(p->params, prefix, base) : NULL;
    pair->act = act;
    pair->width = (int)pair->down->shape[1];
    MR_TRY(mr_keep(p, &pair->low, p->rows * (size_t)pair->width));
    if (p->training)
        MR_TRY(mr_scratch(p, &pair->dlow, p->rows * (size_t)pair->width));
    return mr_keep(p, &pair->out, p->rows * pair->up->shape[1]);
}

int mr_low_rank_forward(mr_workspace *ws, const struct mr_low_rank *pair, const mr_tensor *x)
{
    size_t n = (size_t)ws->rows * (size_t)pair->width;
    int in = (int)pair->down->shape[0], out = (int)pair->up->shape[1];
    const struct mr_gemm down = {.m = ws->rows, .n = pair->width, .k = in};
    const struct mr_gemm up = {
        .m = ws->rows, .n = out, .k = pair->width, .bias = pair->base ? &pair->base->value : NULL};
    MR_TRY(mr_gemm(ws->rt, &down, x, &pair->down->value, &pair->low));
    if (pair->act == MR_ACT_TANH)
        MR_TRY(mr_tanh_forward(ws->rt, &pair->low, &pair->low, n));
    if (pair->act == MR_ACT_SIGMOID)
        MR_TRY(mr_sigmoid_forward(ws->rt, &pair->low, &pair->low, n));
    return mr_gemm(ws->rt, &up, &pair->low, &pair->up->value, &pair->out);
}

int mr_low_rank_backward(mr_workspace *ws, const struct mr_low_rank *pair, const mr_tensor *x, const mr_tensor *dout,
                         const mr_tensor *dx, bool accumulate)
{
    mr_runtime *rt = ws->rt;
    int rows = ws->rows, in = (int)pair->down->shape[0], out = (int)pair->up->shape[1], width = pair->width;
    size_t n = (size_t)rows * (size_t)width;
    const struct mr_gemm dup = {.m = width, .n = out, .k = rows, .trans_a = true, .beta = 1};
    const struct mr_gemm dlow = {.m = rows, .n = width, .k = out, .trans_b = true};
    const struct mr_gemm ddown = {.m = in, .n = width, .k = rows, .trans_a = true, .beta = 1};
    const struct mr_gemm dinput = {.m = rows, .n = in, .k = width, .trans_b = true, .beta = accumulate ? 1 : 0};
    if (mr_trained(pair->up))
        MR_TRY(mr_gemm(rt, &dup, &pair->low, dout, mr_grad(ws, pair->up)));
    if (mr_trained(pair->base))
        MR_TRY(mr_bias_backward(rt, dout, mr_grad(ws, pair->base), &ws->reduce, rows, out));
    MR_TRY(mr_gemm(rt, &dlow, dout, &pair->up->value, &pair->dlow));
    if (pair->act == MR_ACT_TANH)
        MR_TRY(mr_tanh_backward(rt, &pair->low, &pair->dlow, &pair->dlow, n));
    if (pair->act == MR_ACT_SIGMOID)
        MR_TRY(mr_sigmoid_backward(rt, &pair->low, &pair->dlow, &pair->dlow, n));
    if (mr_trained(pair->down))
        MR_TRY(mr_gemm(rt, &ddown, x, &pair->dlow, mr_grad(ws, pair->down)));
    return mr_gemm(rt, &dinput, &pair->dlow, &pair->down->value, dx);
}

struct mr_product mr_low_rank_down(const struct mr_low_rank *pair, const mr_tensor *x, size_t offset_x,
                                   const mr_tensor *low, size_t offset_low)
{
    return (struct mr_product){.x = x,
                               .offset_x = offset_x,
                               .w = &pair->down->value,
                               .y = low,
                               .offset_y = offset_low,
                               .n = pair->width,
                               .k = (int)pair->down->shape[0],
                               .transposed = true,
                               .act = pair->act};
}

struct mr_product mr_low_rank_up(const struct mr_low_rank *pair, const mr_tensor *low, size_t offset_low)
{
    return (struct mr_product){.x = low,
                               .offset_x = offset_low,
                               .w = &pair->up->value,
                               .bias = pair->base ? &pair->base->value : NULL,
                               .y = &pair->out,
                               .n = (int)pair->up->shape[1],
                               .k = pair->width,
                               .transposed = true};
}
