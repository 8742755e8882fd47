/* SPDX-License-Identifier: GPL-3.0-or-later
 * The MLP of GPT-2, OPT, GPT-Neo and GPT-NeoX: narrow(act(wide(x))). */
#include <math.h>

#include "model/layer.h"
#include "model/workspace.h"
#include "ops/gelu.h"

struct mlp {
    struct mr_linear wide, narrow;
    mr_tensor inner, active; /* [R,F] before and after the activation */
    mr_tensor dinner;        /* scratch [R,F] */
};

static enum mr_activation activation_of(const struct mr_config *cfg)
{
    static const enum mr_activation acts[] = {[MR_GELU_ERF] = MR_ACT_GELU_ERF,
                                              [MR_GELU_TANH] = MR_ACT_GELU_TANH,
                                              [MR_GELU_RELU] = MR_ACT_RELU,
                                              [MR_GELU_QUICK] = MR_ACT_GELU_QUICK};
    return acts[cfg->gelu];
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    const struct mr_parts *parts = &mr_family(cfg)->parts;
    int C = cfg->n_embd, F = mr_ffn_width(cfg);
    MR_TRY(mr_linear_declare(params, prefix, parts->wide, F, C, cfg->bias, 0.02));
    return mr_linear_declare(params, prefix, parts->narrow, C, F, cfg->bias, 0.02 / sqrt(2.0 * cfg->n_layer));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct mlp *own = node->own;
    const struct mr_parts *parts = &mr_family(p->cfg)->parts;
    size_t n = p->rows * (size_t)mr_ffn_width(p->cfg);
    MR_TRY(mr_linear_find(&own->wide, p->params, node->prefix, parts->wide));
    MR_TRY(mr_linear_find(&own->narrow, p->params, node->prefix, parts->narrow));
    MR_TRY(mr_keep(p, &own->inner, n));
    MR_TRY(mr_keep(p, &own->active, n));
    return p->training ? mr_scratch(p, &own->dinner, n) : 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct mlp *own = node->own;
    size_t rows = (size_t)ws->rows, n = rows * (size_t)own->wide.out;
    MR_TRY(mr_linear_run(ws, &own->wide, x, &own->inner));
    MR_TRY(mr_gelu_forward(ws->rt, &own->inner, &own->active, n, activation_of(ws->cfg)));
    MR_TRY(mr_linear_run(ws, &own->narrow, &own->active, y));
    return mr_drop(ws, node->site, y, rows * (size_t)ws->cfg->n_embd);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct mlp *own = node->own;
    size_t rows = (size_t)ws->rows, n = rows * (size_t)own->wide.out;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, rows * (size_t)ws->cfg->n_embd));
    MR_TRY(mr_linear_backward(ws, &own->narrow, &own->active, dy, &own->dinner, false));
    MR_TRY(mr_gelu_backward(ws->rt, &own->inner, &own->dinner, &own->dinner, n, activation_of(ws->cfg)));
    return mr_linear_backward(ws, &own->wide, x, &own->dinner, dx, false);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mlp *own = node->own;
    const mr_tensor *in;
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    struct mr_product wide = mr_linear_product(&own->wide, in, 0, &own->inner);
    wide.act = activation_of(ws->cfg);
    MR_TRY(mr_products(ws->rt, &wide, 1, ws->rows));
    struct mr_product out = mr_linear_product(&own->narrow, &own->inner, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_mlp = {
    .name = "mlp",
    .own = sizeof(struct mlp),
    .declare = declare,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
