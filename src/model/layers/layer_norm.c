/* SPDX-License-Identifier: GPL-3.0-or-later
 * LayerNorm with a weight and, where the configuration wants it, a bias. */
#include "ops/layer_norm.h"

#include "model/layer.h"
#include "model/workspace.h"

struct norm {
    struct mr_param *weight, *bias;
    mr_tensor mean, rstd; /* [R] */
    float eps;
};

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    return mr_norm_declare(params, prefix, cfg->n_embd, cfg->bias || mr_family(cfg)->norm_bias);
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct norm *own = node->own;
    own->weight = mr_param_find(p->params, node->prefix, "weight");
    own->bias = mr_param_find(p->params, node->prefix, "bias");
    own->eps = (float)p->cfg->ln_eps;
    MR_TRY(mr_keep(p, &own->mean, p->rows));
    return mr_keep(p, &own->rstd, p->rows);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct norm *own = node->own;
    return mr_layer_norm_forward(ws->rt, x, &own->weight->value, own->bias ? &own->bias->value : NULL, y, &own->mean,
                                 &own->rstd, ws->rows, ws->cfg->n_embd, own->eps);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct norm *own = node->own;
    const struct mr_layer_norm_gradients g = {
        .dy = dy, .dx = dx, .dweight = mr_grad(ws, own->weight), .dbias = mr_grad(ws, own->bias)};
    return mr_layer_norm_backward(ws->rt, x, &own->weight->value, &own->mean, &own->rstd, &g, &ws->reduce, ws->rows,
                                  ws->cfg->n_embd);
}

static void norm(const struct mr_node *node, struct mr_norm *norm)
{
    const struct norm *own = node->own;
    *norm = (struct mr_norm){MR_NORM_LAYER, &own->weight->value, own->bias ? &own->bias->value : NULL, own->eps};
}

const struct mr_layer mr_layer_layer_norm = {
    .name = "layer_norm",
    .own = sizeof(struct norm),
    .declare = declare,
    .plan = plan,
    .forward = forward,
    .norm = norm,
    .backward = backward,
};
