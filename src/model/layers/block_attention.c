/* SPDX-License-Identifier: GPL-3.0-or-later
 * The attention of GPT-2, OPT, GPT-Neo and GPT-NeoX: causal, over the whole block or, where the family says so of a
 * block, over the last W positions. q, k and v come from one product or three; in GPT-NeoX head by head, and turned by
 * rotary positions. */
#include <math.h>

#include "model/layer.h"
#include "model/workspace.h"
#include "ops/attention_step.h"
#include "ops/linear.h"
#include "ops/rotary.h"
#include "ops/window_attention.h"

struct attention {
    struct mr_linear in[3], out;
    int ins;                  /* products that give q, k and v */
    mr_tensor raw;            /* [R,H,3,D], before the rotary positions */
    mr_tensor qkv;            /* [R,3C] */
    mr_tensor y, lse;         /* [R,C], [R,H] */
    mr_tensor dqkv, draw, dy; /* scratch */
    mr_tensor scratch;
    mr_tensor kept;         /* scratch for dropout's mask */
    const mr_tensor *turns; /* the table of the rotary positions, [block_size,turned] */
};

static int window_of(const struct mr_config *cfg, int block)
{
    return mr_family(cfg)->window ? mr_family(cfg)->window(cfg, block) : cfg->block_size;
}

/* The rings of keys and values, [W,C] each. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    sizes[0] = sizes[1] = (size_t)window_of(cfg, block) * (size_t)cfg->n_embd;
    return 2;
}

static double scale_of(const struct mr_config *cfg, int block)
{
    double root = sqrt(cfg->n_embd / cfg->n_head);
    switch (cfg->attention_scale) {
    case MR_SCALE_LAYER:
        return 1 / (root * (block + 1));
    case MR_SCALE_NONE:
        return 1;
    default:
        return 1 / root;
    }
}

static struct mr_window_attention shape_of(int batch, int time, int64_t position, const struct mr_config *cfg,
                                           int block)
{
    return (struct mr_window_attention){
        .batch = batch,
        .time = time,
        .heads = cfg->n_head,
        .width = cfg->n_embd / cfg->n_head,
        .window = window_of(cfg, block),
        .scale = (float)scale_of(cfg, block),
        .stride = 3 * cfg->n_embd,
        .q = 0,
        .k = cfg->n_embd,
        .v = 2 * cfg->n_embd,
        .position = position,
    };
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    const struct mr_parts *parts = &mr_family(cfg)->parts;
    int ins = parts->in[1] ? 3 : 1, C = cfg->n_embd;
    for (int i = 0; i < ins; i++) {
        MR_TRY(mr_linear_declare(params, prefix, parts->in[i], 3 / ins * C, C, cfg->bias && !parts->bare, 0.02));
        if (ins > 1)
            mr_without_adapter(params, prefix, parts->in[i]);
    }
    return mr_linear_declare(params, prefix, parts->out, C, C, cfg->bias, 0.02 / sqrt(2.0 * cfg->n_layer));
}

static int plan_training(struct attention *own, struct mr_planner *p, const struct mr_window_attention *shape)
{
    size_t rows = p->rows, n = rows * (size_t)p->cfg->n_embd;
    MR_TRY(mr_scratch(p, &own->scratch, mr_window_attention_scratch(shape)));
    MR_TRY(mr_scratch(p, &own->dqkv, 3 * n));
    MR_TRY(mr_scratch(p, &own->dy, n));
    if (mr_family(p->cfg)->rotary)
        MR_TRY(mr_scratch(p, &own->draw, 3 * n));
    return p->cfg->dropout > 0 ? mr_scratch(p, &own->kept, mr_window_attention_kept(shape)) : 0;
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct attention *own = node->own;
    const struct mr_parts *parts = &mr_family(p->cfg)->parts;
    struct mr_window_attention shape = shape_of(p->batch, p->time, 0, p->cfg, node->block);
    size_t rows = p->rows, n = rows * (size_t)p->cfg->n_embd;
    own->ins = parts->in[1] ? 3 : 1;
    for (int i = 0; i < own->ins; i++)
        MR_TRY(mr_linear_find(&own->in[i], p->params, node->prefix, parts->in[i]));
    MR_TRY(mr_linear_find(&own->out, p->params, node->prefix, parts->out));
    if (mr_family(p->cfg)->rotary) {
        size_t table = (size_t)p->cfg->block_size * (size_t)mr_turned(p->cfg);
        MR_TRY(mr_shared(p, &own->turns, "rotary positions", table));
        MR_TRY(mr_scratch(p, &own->raw, 3 * n));
    }
    MR_TRY(mr_keep(p, &own->qkv, 3 * n));
    MR_TRY(mr_keep(p, &own->y, n));
    MR_TRY(mr_keep(p, &own->lse, rows * (size_t)shape.heads));
    return p->training ? plan_training(own, p, &shape) : 0;
}

/* ---- rotary positions -------------------------------------------------------------------------------------------- */

/* What turns the rows of the present group; a table once written serves all layers. */
static int rotary_of(struct attention *own, mr_workspace *ws, const mr_tensor *positions, struct mr_rotary *s)
{
    const struct mr_config *cfg = ws->cfg;
    *s = (struct mr_rotary){.rows = ws->rows,
                            .heads = cfg->n_head,
                            .width = cfg->n_embd / cfg->n_head,
                            .turned = mr_turned(cfg),
                            .time = ws->time,
                            .first = positions ? 0 : (int)ws->position,
                            .positions = positions,
                            .table = own->turns,
                            .places = cfg->block_size};
    if (ws->has_turns)
        return 0;
    ws->has_turns = true;
    return mr_rotary_table(ws->rt, own->turns, s->places, s->turned, cfg->rotary_base);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static int project(struct attention *own, mr_workspace *ws, const mr_tensor *x)
{
    int C = ws->cfg->n_embd;
    struct mr_rotary rotary;
    if (mr_family(ws->cfg)->rotary) {
        MR_TRY(rotary_of(own, ws, NULL, &rotary));
        MR_TRY(mr_linear_run(ws, &own->in[0], x, &own->raw));
        return mr_rotary_forward(ws->rt, &rotary, &own->raw, &own->qkv);
    }
    if (own->ins == 1)
        return mr_linear_run(ws, &own->in[0], x, &own->qkv);
    for (int i = 0; i < 3; i++) {
        const struct mr_linear *in = &own->in[i];
        MR_TRY(mr_linear_forward_columns(ws->rt, x, &in->weight->value, in->bias ? &in->bias->value : NULL, &own->qkv,
                                         ws->rows, C, C, 3 * C, (size_t)(i * C)));
    }
    return 0;
}

static int project_backward(struct attention *own, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dx)
{
    int C = ws->cfg->n_embd;
    struct mr_rotary rotary;
    if (mr_family(ws->cfg)->rotary) {
        MR_TRY(rotary_of(own, ws, NULL, &rotary));
        MR_TRY(mr_rotary_backward(ws->rt, &rotary, &own->dqkv, &own->draw));
        return mr_linear_backward(ws, &own->in[0], x, &own->draw, dx, false);
    }
    if (own->ins == 1)
        return mr_linear_backward(ws, &own->in[0], x, &own->dqkv, dx, false);
    for (int i = 0; i < 3; i++) {
        const struct mr_linear *in = &own->in[i];
        size_t at = (size_t)(i * C);
        MR_TRY(mr_linear_backward_input_columns(ws->rt, &own->dqkv, &in->weight->value, dx, ws->rows, C, C, 3 * C, at,
                                                i > 0));
        if (mr_trained(in->weight) || mr_trained(in->bias))
            MR_TRY(mr_linear_backward_weight_columns(ws->rt, x, &own->dqkv, mr_grad(ws, in->weight),
                                                     mr_grad(ws, in->bias), &ws->reduce, ws->rows, C, C, 3 * C, at));
    }
    return 0;
}

/* Of the weights: the second of the node's sites. */
static struct mr_dropout weights_dropout(const struct mr_node *node, const mr_workspace *ws)
{
    return mr_drop_of(ws, node->site + 1);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, ws->position, ws->cfg, node->block);
    struct mr_dropout d = weights_dropout(node, ws);
    const mr_tensor *k, *v;
    shape.dropout = d.p > 0 ? &d : NULL;
    shape.kept = &own->kept;
    MR_TRY(mr_state_of(ws, node, 0, &k));
    MR_TRY(mr_state_of(ws, node, 1, &v));
    MR_TRY(project(own, ws, x));
    MR_TRY(mr_window_attention_forward(ws->rt, &shape, &own->qkv, k, v, &own->y, &own->lse));
    if (k)
        MR_TRY(mr_window_attention_append(ws->rt, &shape, &own->qkv, k, v));
    MR_TRY(mr_linear_run(ws, &own->out, &own->y, y));
    return mr_drop(ws, node->site, y, (size_t)ws->rows * (size_t)ws->cfg->n_embd);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->batch, ws->time, 0, ws->cfg, node->block);
    struct mr_dropout d = weights_dropout(node, ws);
    shape.dropout = d.p > 0 ? &d : NULL;
    shape.kept = &own->kept;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, (size_t)ws->rows * (size_t)ws->cfg->n_embd));
    MR_TRY(mr_linear_backward(ws, &own->out, &own->y, dy, &own->dy, false));
    MR_TRY(mr_window_attention_backward(ws->rt, &shape, &own->qkv, &own->y, &own->lse, &own->dy, &own->dqkv,
                                        &own->scratch));
    return project_backward(own, ws, x, dx);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static int project_step(struct attention *own, mr_workspace *ws, const mr_tensor *x)
{
    int C = ws->cfg->n_embd;
    struct mr_product products[3];
    struct mr_rotary rotary;
    const mr_tensor *to = mr_family(ws->cfg)->rotary ? &own->raw : &own->qkv;
    for (int i = 0; i < own->ins; i++) {
        products[i] = mr_linear_product(&own->in[i], x, 0, to);
        products[i].ldy = 3 * C;
        products[i].offset_y = (size_t)(i * C);
    }
    MR_TRY(mr_products(ws->rt, products, own->ins, ws->rows));
    if (!mr_family(ws->cfg)->rotary)
        return 0;
    MR_TRY(rotary_of(own, ws, &ws->positions, &rotary));
    return mr_rotary_forward(ws->rt, &rotary, &own->raw, &own->qkv);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct attention *own = node->own;
    struct mr_window_attention shape = shape_of(ws->rows, 1, 0, ws->cfg, node->block);
    const struct mr_attention_step s = {.rows = ws->rows,
                                        .heads = shape.heads,
                                        .width = shape.width,
                                        .window = shape.window,
                                        .scale = shape.scale,
                                        .stride = shape.stride,
                                        .q = shape.q,
                                        .k = shape.k,
                                        .v = shape.v,
                                        .gate = -1,
                                        .keys = mr_slots_of(ws, node, 0),
                                        .values = mr_slots_of(ws, node, 1).state,
                                        .positions = &ws->positions};
    const mr_tensor *in;
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    MR_TRY(project_step(own, ws, in));
    MR_TRY(mr_attention_step(ws->rt, &s, &own->qkv, &own->y));
    struct mr_product out = mr_linear_product(&own->out, &own->y, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

static bool steps(const struct mr_config *cfg)
{
    return cfg->n_embd / cfg->n_head <= MR_ATTENTION_STEP_WIDTH;
}

const struct mr_layer mr_layer_block_attention = {
    .name = "block_attention",
    .own = sizeof(struct attention),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .steps = steps,
    .backward = backward,
};
