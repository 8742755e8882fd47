/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-2's MLP: c_proj(gelu(c_fc(x))), 4C wide. */
#include <math.h>

#include "model/layer.h"
#include "model/workspace.h"
#include "ops/gelu.h"

struct mlp {
    struct mr_linear fc, proj;
    mr_tensor wide, active; /* [R,4C] before and after GELU */
    mr_tensor dwide;        /* scratch [R,4C] */
};

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    int C = cfg->n_embd;
    MR_TRY(mr_linear_declare(params, prefix, "c_fc", 4 * C, C, cfg->bias, 0.02));
    return mr_linear_declare(params, prefix, "c_proj", C, 4 * C, cfg->bias, 0.02 / sqrt(2.0 * cfg->n_layer));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct mlp *own = node->own;
    size_t n = 4 * p->rows * (size_t)p->cfg->n_embd;
    MR_TRY(mr_linear_find(&own->fc, p->params, node->prefix, "c_fc"));
    MR_TRY(mr_linear_find(&own->proj, p->params, node->prefix, "c_proj"));
    MR_TRY(mr_keep(p, &own->wide, n));
    MR_TRY(mr_keep(p, &own->active, n));
    return p->training ? mr_scratch(p, &own->dwide, n) : 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct mlp *own = node->own;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_linear_run(ws, &own->fc, x, &own->wide));
    MR_TRY(mr_gelu_forward(ws->rt, &own->wide, &own->active, 4 * n, ws->cfg->gelu == MR_GELU_TANH));
    MR_TRY(mr_linear_run(ws, &own->proj, &own->active, y));
    return mr_drop(ws, node->site, y, n);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct mlp *own = node->own;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    MR_TRY(mr_linear_backward(ws, &own->proj, &own->active, dy, &own->dwide, false));
    MR_TRY(mr_gelu_backward(ws->rt, &own->wide, &own->dwide, &own->dwide, 4 * n, ws->cfg->gelu == MR_GELU_TANH));
    return mr_linear_backward(ws, &own->fc, x, &own->dwide, dx, false);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mlp *own = node->own;
    const mr_tensor *in;
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    struct mr_product wide = mr_linear_product(&own->fc, in, 0, &own->wide);
    wide.act = ws->cfg->gelu == MR_GELU_TANH ? MR_ACT_GELU_TANH : MR_ACT_GELU_ERF;
    MR_TRY(mr_products(ws->rt, &wide, 1, ws->rows));
    struct mr_product out = mr_linear_product(&own->proj, &own->wide, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_gpt2_mlp = {
    .name = "gpt2_mlp",
    .own = sizeof(struct mlp),
    .declare = declare,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
