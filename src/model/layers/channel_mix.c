/* SPDX-License-Identifier: GPL-3.0-or-later
 * Channel mix: σ(receptance(xr)) · value(relu(key(xk))²), 3C wide. */
#include "ops/channel_mix.h"

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/token_shift.h"

struct cmix {
    struct mr_param *maa[2]; /* k, r */
    struct mr_linear key, value, receptance;
    mr_tensor mixed[2];          /* xk, xr [R,C] */
    mr_tensor k, squared;        /* [R,3C] */
    mr_tensor v, r;              /* [R,C] */
    mr_tensor dk, dsquared;      /* scratch [R,3C] */
    mr_tensor dv, dr, dmixed[2]; /* scratch [R,C] */
    mr_tensor shift_scratch;
};

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    int C = cfg->n_embd;
    const char *names[] = {"time_maa_k", "time_maa_r"};
    for (int i = 0; i < 2; i++)
        MR_TRY(mr_declare_init(params, prefix, names[i], mr_shape(1, 1, (size_t)C), block, mr_init_before_key));
    MR_TRY(mr_linear_declare(params, prefix, "key", 3 * C, C, cfg->bias, 0.02));
    MR_TRY(mr_linear_declare(params, prefix, "value", C, 3 * C, cfg->bias, 0.02));
    return mr_linear_declare(params, prefix, "receptance", C, C, cfg->bias, 0.02);
}

/* The row before the first. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    return 1;
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){.batch = batch, .time = time, .dim = cfg->n_embd, .count = 2};
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct cmix *own = node->own;
    size_t rows = p->rows, n = rows * (size_t)p->cfg->n_embd;
    own->maa[0] = mr_param_find(p->params, node->prefix, "time_maa_k");
    own->maa[1] = mr_param_find(p->params, node->prefix, "time_maa_r");
    MR_TRY(mr_linear_find(&own->key, p->params, node->prefix, "key"));
    MR_TRY(mr_linear_find(&own->value, p->params, node->prefix, "value"));
    MR_TRY(mr_linear_find(&own->receptance, p->params, node->prefix, "receptance"));
    for (int i = 0; i < 2; i++)
        MR_TRY(mr_keep(p, &own->mixed[i], n));
    MR_TRY(mr_keep(p, &own->k, 3 * n));
    MR_TRY(mr_keep(p, &own->squared, 3 * n));
    MR_TRY(mr_keep(p, &own->v, n));
    MR_TRY(mr_keep(p, &own->r, n));
    if (!p->training)
        return 0;
    struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    MR_TRY(mr_scratch(p, &own->dk, 3 * n));
    MR_TRY(mr_scratch(p, &own->dsquared, 3 * n));
    MR_TRY(mr_scratch(p, &own->dv, n));
    MR_TRY(mr_scratch(p, &own->dr, n));
    for (int i = 0; i < 2; i++)
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
    return mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift));
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct cmix *own = node->own;
    mr_runtime *rt = ws->rt;
    struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *maa[] = {&own->maa[0]->value, &own->maa[1]->value}, *out[] = {&own->mixed[0], &own->mixed[1]};
    const mr_tensor *previous;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_token_shift_forward(rt, &shift, x, previous, maa, out));
    if (previous)
        MR_TRY(mr_token_shift_state(rt, &shift, x, previous));
    MR_TRY(mr_linear_run(ws, &own->key, &own->mixed[0], &own->k));
    MR_TRY(mr_squared_relu_forward(rt, &own->k, &own->squared, 3 * n));
    MR_TRY(mr_linear_run(ws, &own->value, &own->squared, &own->v));
    MR_TRY(mr_linear_run(ws, &own->receptance, &own->mixed[1], &own->r));
    MR_TRY(mr_sigmoid_gate_forward(rt, &own->r, &own->v, y, n));
    return mr_drop(ws, node->site, y, n);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct cmix *own = node->own;
    mr_runtime *rt = ws->rt;
    struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *maa[] = {&own->maa[0]->value, &own->maa[1]->value};
    const mr_tensor *dmaa[] = {mr_grad(ws, own->maa[0]), mr_grad(ws, own->maa[1])},
                    *dout[] = {&own->dmixed[0], &own->dmixed[1]};
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    MR_TRY(mr_sigmoid_gate_backward(rt, &own->r, &own->v, dy, &own->dr, &own->dv, n));
    MR_TRY(mr_linear_backward(ws, &own->receptance, &own->mixed[1], &own->dr, &own->dmixed[1], false));
    MR_TRY(mr_linear_backward(ws, &own->value, &own->squared, &own->dv, &own->dsquared, false));
    MR_TRY(mr_squared_relu_backward(rt, &own->k, &own->dsquared, &own->dk, 3 * n));
    MR_TRY(mr_linear_backward(ws, &own->key, &own->mixed[0], &own->dk, &own->dmixed[0], false));
    return mr_token_shift_backward(rt, &shift, x, maa, dout, dx, false, dmaa, &own->shift_scratch);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct cmix *own = node->own;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->maa, 2, false, false));
    struct mr_product in[] = {mr_linear_product(&own->key, &ws->mixes, 0, &own->squared),
                              mr_linear_product(&own->receptance, &ws->mixes, n, &own->r)};
    in[0].act = MR_ACT_SQUARED_RELU;
    in[1].act = MR_ACT_SIGMOID;
    MR_TRY(mr_products(ws->rt, in, 2, ws->rows));
    struct mr_product out = mr_linear_product(&own->value, &own->squared, 0, y);
    out.gate = &own->r;
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_channel_mix = {
    .name = "channel_mix",
    .own = sizeof(struct cmix),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
