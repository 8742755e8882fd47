/* SPDX-License-Identifier: GPL-3.0-or-later
 * LayerNorm with a weight and, where the configuration wants it, a bias; eps 1e-5. */
#include "ops/layer_norm.h"

#include "model/layer.h"
#include "model/pass.h"

struct norm {
    struct mr_param *weight, *bias;
    mr_tensor mean, rstd; /* [R] */
};

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    return mr_norm_declare(params, prefix, cfg->n_embd, cfg->bias || cfg->family >= MR_RWKV4);
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct norm *own = node->own;
    own->weight = mr_param_find(p->params, node->prefix, "weight");
    own->bias = mr_param_find(p->params, node->prefix, "bias");
    MR_TRY(mr_keep(p, &own->mean, (size_t)p->batch * (size_t)p->time));
    return mr_keep(p, &own->rstd, (size_t)p->batch * (size_t)p->time);
}

static int forward(struct mr_node *node, struct mr_pass *pass, const mr_tensor *x, const mr_tensor *y)
{
    struct norm *own = node->own;
    return mr_layer_norm_forward(pass->rt, x, &own->weight->value, own->bias ? &own->bias->value : NULL, y, &own->mean,
                                 &own->rstd, pass->rows, pass->cfg->n_embd, 1e-5f);
}

static int backward(struct mr_node *node, struct mr_pass *pass, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct norm *own = node->own;
    return mr_layer_norm_backward(pass->rt, x, &own->weight->value, &own->mean, &own->rstd, dy, dx, false,
                                  &own->weight->grad, own->bias ? &own->bias->grad : NULL, &pass->reduce, pass->rows,
                                  pass->cfg->n_embd);
}

const struct mr_layer mr_layer_layer_norm = {"layer_norm", sizeof(struct norm), declare, plan, forward, backward};
