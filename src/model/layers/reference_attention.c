/* SPDX-License-Identifier: GPL-3.0-or-later
 * The two attentions of MicroRWKV as published: sliding_attn (not causal, over reinterpreted rows) and grouped_attn
 * (among the heads of a position, mixing rows of different batch items). No state. */
#include "ops/reference_attention.h"

#include "model/layer.h"
#include "model/workspace.h"

struct attention {
    struct mr_linear in, out; /* qkv or qkvw; proj or out */
    mr_tensor qkv, y;         /* [R,3C] or [R,4C]; [R,C] */
    mr_tensor kept, scratch;  /* the op's own */
    mr_tensor dqkv, dy;       /* scratch */
};

static struct mr_reference_attention shape_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_reference_attention){.batch = batch, .time = time, .heads = cfg->n_head, .dim = cfg->n_embd};
}

static int declare_sliding(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    return mr_layer_window_attention.declare(params, cfg, prefix, block);
}

static int declare_grouped(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    return mr_layer_grouped_attention.declare(params, cfg, prefix, block);
}

/* Every position sees all others. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)cfg, (void)block, (void)sizes;
    return -1;
}

static int plan_either(struct mr_node *node, struct mr_planner *p, int columns, size_t kept, size_t scratch)
{
    struct attention *own = node->own;
    size_t n = p->rows * (size_t)p->cfg->n_embd;
    MR_TRY(mr_linear_find(&own->in, p->params, node->prefix, columns == 3 ? "qkv" : "qkvw"));
    MR_TRY(mr_linear_find(&own->out, p->params, node->prefix, columns == 3 ? "proj" : "out"));
    MR_TRY(mr_keep(p, &own->qkv, (size_t)columns * n));
    MR_TRY(mr_keep(p, &own->y, n));
    MR_TRY(mr_keep(p, &own->kept, kept));
    MR_TRY(mr_scratch(p, &own->scratch, scratch));
    if (!p->training)
        return 0;
    MR_TRY(mr_scratch(p, &own->dqkv, (size_t)columns * n));
    return mr_scratch(p, &own->dy, n);
}

static int plan_sliding(struct mr_node *node, struct mr_planner *p)
{
    struct mr_reference_attention s = shape_of(p->batch, p->time, p->cfg);
    return plan_either(node, p, 3, mr_reference_sliding_kept(&s), mr_reference_sliding_scratch(&s, p->training));
}

static int plan_grouped(struct mr_node *node, struct mr_planner *p)
{
    struct mr_reference_attention s = shape_of(p->batch, p->time, p->cfg);
    return plan_either(node, p, 4, mr_reference_grouped_kept(&s), p->training ? mr_reference_grouped_scratch(&s) : 0);
}

static int forward_sliding(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_reference_attention s = shape_of(ws->batch, ws->time, ws->cfg);
    MR_TRY(mr_linear_run(ws, &own->in, x, &own->qkv));
    MR_TRY(mr_reference_sliding_forward(ws->rt, &s, &own->qkv, &own->y, &own->kept, &own->scratch));
    return mr_linear_run(ws, &own->out, &own->y, y);
}

static int backward_sliding(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                            const mr_tensor *dx)
{
    struct attention *own = node->own;
    struct mr_reference_attention s = shape_of(ws->batch, ws->time, ws->cfg);
    MR_TRY(mr_linear_backward(ws, &own->out, &own->y, dy, &own->dy, false));
    MR_TRY(mr_reference_sliding_backward(ws->rt, &s, &own->qkv, &own->kept, &own->dy, &own->dqkv, &own->scratch));
    return mr_linear_backward(ws, &own->in, x, &own->dqkv, dx, false);
}

static int forward_grouped(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_reference_attention s = shape_of(ws->batch, ws->time, ws->cfg);
    MR_TRY(mr_linear_run(ws, &own->in, x, &own->qkv));
    MR_TRY(mr_reference_grouped_forward(ws->rt, &s, &own->qkv, &own->y, &own->kept));
    return mr_linear_run(ws, &own->out, &own->y, y);
}

static int backward_grouped(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                            const mr_tensor *dx)
{
    struct attention *own = node->own;
    struct mr_reference_attention s = shape_of(ws->batch, ws->time, ws->cfg);
    MR_TRY(mr_linear_backward(ws, &own->out, &own->y, dy, &own->dy, false));
    MR_TRY(mr_reference_grouped_backward(ws->rt, &s, &own->qkv, &own->kept, &own->dy, &own->dqkv, &own->scratch));
    return mr_linear_backward(ws, &own->in, x, &own->dqkv, dx, false);
}

const struct mr_layer mr_layer_reference_sliding = {
    .name = "reference_sliding",
    .own = sizeof(struct attention),
    .declare = declare_sliding,
    .states = states,
    .plan = plan_sliding,
    .forward = forward_sliding,
    .backward = backward_sliding,
};
const struct mr_layer mr_layer_reference_grouped = {
    .name = "reference_grouped",
    .own = sizeof(struct attention),
    .declare = declare_grouped,
    .states = states,
    .plan = plan_grouped,
    .forward = forward_grouped,
    .backward = backward_grouped,
};
