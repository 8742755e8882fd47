/* SPDX-License-Identifier: GPL-3.0-or-later
 * MicroRWKV's causal attentions over the last W positions: sliding_attn (H heads, proj) and grouped_attn (G groups of H
 * heads, the output multiplied by w before out). */
#include "ops/window_attention.h"

#include "ops/attention_step.h"

#include <math.h>

#include "model/layer.h"
#include "model/workspace.h"
#include "ops/elementwise.h"

struct attention {
    struct mr_linear in, out;   /* qkv or qkvw; proj or out */
    mr_tensor qkv;              /* [R,3C] or [R,4C] */
    mr_tensor y, lse;           /* [R,C], [R,heads] */
    mr_tensor gated;            /* y·w [R,C], grouped only */
    mr_tensor dqkv, dy, dgated; /* scratch */
    mr_tensor scratch;
};

/* The rings of keys and values, [W,C] each. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = sizes[1] = (size_t)cfg->window * (size_t)cfg->n_embd;
    return 2;
}

static struct mr_window_attention shape_of(int batch, int time, int64_t position, const struct mr_config *cfg,
                                           bool grouped)
{
    int heads = grouped ? cfg->n_head * cfg->groups : cfg->n_head, width = cfg->n_embd / heads;
    return (struct mr_window_attention){
        .batch = batch,
        .time = time,
        .heads = heads,
        .width = width,
        .window = cfg->window,
        .scale = (float)(1 / sqrt(width)),
        .stride = (grouped ? 4 : 3) * cfg->n_embd,
        .q = 0,
        .k = cfg->n_embd,
        .v = 2 * cfg->n_embd,
        .position = position,
    };
}

static int declare_sliding(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    MR_TRY(mr_linear_declare(params, prefix, "qkv", 3 * cfg->n_embd, cfg->n_embd, false, 0.02));
    return mr_linear_declare(params, prefix, "proj", cfg->n_embd, cfg->n_embd, false, 0.02);
}

static int declare_grouped(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    MR_TRY(mr_linear_declare(params, prefix, "qkvw", 4 * cfg->n_embd, cfg->n_embd, false, 0.02));
    return mr_linear_declare(params, prefix, "out", cfg->n_embd, cfg->n_embd, false, 0.02);
}

static int plan_either(struct mr_node *node, struct mr_planner *p, bool grouped, const char *in, const char *out)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(p->batch, p->time, 0, p->cfg, grouped);
    size_t rows = p->rows, C = (size_t)p->cfg->n_embd, n = rows * C;
    MR_TRY(mr_linear_find(&own->in, p->params, node->prefix, in));
    MR_TRY(mr_linear_find(&own->out, p->params, node->prefix, out));
    MR_TRY(mr_keep(p, &own->qkv, rows * (size_t)shape.stride));
    MR_TRY(mr_keep(p, &own->y, n));
    MR_TRY(mr_keep(p, &own->lse, rows * (size_t)shape.heads));
    if (grouped)
        MR_TRY(mr_keep(p, &own->gated, n));
    if (!p->training)
        return 0;
    MR_TRY(mr_scratch(p, &own->scratch, mr_window_attention_scratch(&shape)));
    MR_TRY(mr_scratch(p, &own->dqkv, rows * (size_t)shape.stride));
    MR_TRY(mr_scratch(p, &own->dy, n));
    return grouped ? mr_scratch(p, &own->dgated, n) : 0;
}

static int plan_sliding(struct mr_node *node, struct mr_planner *p)
{
    return plan_either(node, p, false, "qkv", "proj");
}

static int plan_grouped(struct mr_node *node, struct mr_planner *p)
{
    return plan_either(node, p, true, "qkvw", "out");
}

/* q, k, v of x, attention, the rings advanced. */
static int attend(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const struct mr_window_attention *shape)
{
    struct attention *own = node->own;
    mr_runtime *rt = ws->rt;
    const mr_tensor *k, *v;
    MR_TRY(mr_state_of(ws, node, 0, &k));
    MR_TRY(mr_state_of(ws, node, 1, &v));
    MR_TRY(mr_linear_run(ws, &own->in, x, &own->qkv));
    MR_TRY(mr_window_attention_forward(rt, shape, &own->qkv, k, v, &own->y, &own->lse));
    return k ? mr_window_attention_append(rt, shape, &own->qkv, k, v) : 0;
}

static int forward_sliding(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, ws->position, ws->cfg, false);
    MR_TRY(attend(node, ws, x, &shape));
    return mr_linear_run(ws, &own->out, &own->y, y);
}

static int backward_sliding(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                            const mr_tensor *dx)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, 0, ws->cfg, false);
    MR_TRY(mr_linear_backward(ws, &own->out, &own->y, dy, &own->dy, false));
    MR_TRY(mr_window_attention_backward(ws->rt, &shape, &own->qkv, &own->y, &own->lse, &own->dy, &own->dqkv,
                                        &own->scratch));
    return mr_linear_backward(ws, &own->in, x, &own->dqkv, dx, false);
}

/* The w columns of qkvw rows: the last C of 4C. */
static struct mr_columns gate_columns(const mr_workspace *ws, const mr_tensor *qkvw)
{
    return (struct mr_columns){.tensor = qkvw, .offset = 3 * (size_t)ws->cfg->n_embd, .stride = 4 * ws->cfg->n_embd};
}

static struct mr_columns all_columns(const mr_workspace *ws, const mr_tensor *t)
{
    return (struct mr_columns){.tensor = t, .offset = 0, .stride = ws->cfg->n_embd};
}

static int forward_grouped(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, ws->position, ws->cfg, true);
    MR_TRY(attend(node, ws, x, &shape));
    struct mr_columns a = all_columns(ws, &own->y), w = gate_columns(ws, &own->qkv), out = all_columns(ws, &own->gated);
    MR_TRY(mr_multiply_forward(ws->rt, a, w, out, ws->rows, ws->cfg->n_embd));
    return mr_linear_run(ws, &own->out, &own->gated, y);
}

static int backward_grouped(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                            const mr_tensor *dx)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, 0, ws->cfg, true);
    MR_TRY(mr_linear_backward(ws, &own->out, &own->gated, dy, &own->dgated, false));
    struct mr_columns a = all_columns(ws, &own->y), w = gate_columns(ws, &own->qkv), d = all_columns(ws, &own->dgated);
    struct mr_columns da = all_columns(ws, &own->dy), dw = gate_columns(ws, &own->dqkv);
    MR_TRY(mr_multiply_backward(ws->rt, a, w, d, da, dw, ws->rows, ws->cfg->n_embd));
    MR_TRY(mr_window_attention_backward(ws->rt, &shape, &own->qkv, &own->y, &own->lse, &own->dy, &own->dqkv,
                                        &own->scratch));
    return mr_linear_backward(ws, &own->in, x, &own->dqkv, dx, false);
}

/* gate: the first of the columns of qkv that multiply the output, or -1. */
static int step_with(struct mr_node *node, mr_workspace *ws, const struct mr_window_attention *shape, int gate,
                     const struct mr_norm *norm, const mr_tensor *x, const mr_tensor *add, const mr_tensor *y)
{
    struct attention *own = node->own;
    const mr_tensor *in;
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    struct mr_product qkv = mr_linear_product(&own->in, in, 0, &own->qkv);
    struct mr_product out = mr_linear_product(&own->out, &own->y, 0, y);
    const struct mr_attention_step s = {.rows = ws->rows,
                                        .heads = shape->heads,
                                        .width = shape->width,
                                        .window = shape->window,
                                        .scale = shape->scale,
                                        .stride = shape->stride,
                                        .q = shape->q,
                                        .k = shape->k,
                                        .v = shape->v,
                                        .gate = gate,
                                        .keys = mr_slots_of(ws, node, 0),
                                        .values = mr_slots_of(ws, node, 1).state,
                                        .positions = &ws->positions};
    MR_TRY(mr_products(ws->rt, &qkv, 1, ws->rows));
    MR_TRY(mr_attention_step(ws->rt, &s, &own->qkv, &own->y));
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mr_window_attention shape = shape_of(ws->rows, 1, 0, ws->cfg, false);
    return step_with(node, ws, &shape, -1, norm, x, add, y);
}

static int step_grouped(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                        const mr_tensor *add, const mr_tensor *y)
{
    struct mr_window_attention shape = shape_of(ws->rows, 1, 0, ws->cfg, true);
    return step_with(node, ws, &shape, 3 * ws->cfg->n_embd, norm, x, add, y);
}

static bool steps(const struct mr_config *cfg)
{
    return cfg->n_embd / cfg->n_head <= MR_ATTENTION_STEP_WIDTH;
}

const struct mr_layer mr_layer_window_attention = {
    .name = "window_attention",
    .own = sizeof(struct attention),
    .declare = declare_sliding,
    .states = states,
    .plan = plan_sliding,
    .forward = forward_sliding,
    .step = step,
    .steps = steps,
    .backward = backward_sliding,
};
const struct mr_layer mr_layer_grouped_attention = {
    .name = "grouped_attention",
    .own = sizeof(struct attention),
    .declare = declare_grouped,
    .states = states,
    .plan = plan_grouped,
    .forward = forward_grouped,
    .step = step_grouped,
    .steps = steps,
    .backward = backward_grouped,
};
