/* SPDX-License-Identifier: GPL-3.0-or-later
 * The dense mixture: fc(Σ_{e<A} softmax(gate(x))_e · experts_e(x)), and the diversity term. */
#include "ops/mixture.h"

#include <stdio.h>

#include "base/alloc.h"
#include "model/layer.h"
#include "model/layers/experts.h"
#include "model/workspace.h"
#include "ops/linear.h"
#include "ops/mixture_step.h"

struct mixture {
    struct mr_linear gate, expert[MR_MAX_EXPERTS], fc;
    mr_tensor scores, dropped; /* [R,E]; dropped: after dropout, the same memory when there is none */
    mr_tensor o, h;            /* [R,A,D], [R,D] */
    mr_tensor mean;            /* [B,A*D], for the diversity term */
    mr_tensor dscores;         /* scratch [R,E] */
    mr_tensor d_o, dh;         /* scratch [R,A,D], [R,D] */
};

int mr_experts_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    (void)block;
    int C = cfg->n_embd, D = mr_expert_width(cfg);
    MR_TRY(mr_linear_declare(params, prefix, "gate", cfg->num_experts, C, true, 0.02));
    for (int e = 0; e < mr_expert_count(cfg); e++) {
        char name[40];
        snprintf(name, sizeof name, "experts.%d", e);
        MR_TRY(mr_linear_declare(params, prefix, name, D, C, true, 0.02));
        mr_without_adapter(params, prefix, name);
    }
    return mr_linear_declare(params, prefix, "fc", C, D, true, 0.02);
}

int mr_experts_find(const struct mr_params *params, const struct mr_config *cfg, const char *prefix,
                    struct mr_linear *gate, struct mr_linear *experts, struct mr_linear *fc)
{
    MR_TRY(mr_linear_find(gate, params, prefix, "gate"));
    for (int e = 0; e < mr_expert_count(cfg); e++) {
        char name[32];
        snprintf(name, sizeof name, "experts.%d", e);
        MR_TRY(mr_linear_find(&experts[e], params, prefix, name));
    }
    return mr_linear_find(fc, params, prefix, "fc");
}

int mr_experts_sinks(struct mr_planner *p, const struct mr_linear *experts, int count)
{
    bool trained = false;
    for (int e = 0; e < count; e++)
        trained = trained || mr_trained(experts[e].weight) || mr_trained(experts[e].bias);
    for (int e = 0; trained && e < count; e++)
        MR_TRY(mr_sink(p, experts[e].weight));
    return 0;
}

int mr_experts_step(mr_workspace *ws, const struct mr_linear *gate, const struct mr_linear *experts, int count,
                    const mr_tensor *x, const mr_tensor *scores, const mr_tensor *o)
{
    struct mr_product list[MR_MOST_PRODUCTS];
    int n = 0;
    if (gate)
        list[n++] = mr_linear_product(gate, x, 0, scores);
    for (int e = 0; e < count; e++) {
        list[n] = mr_linear_product(&experts[e], x, 0, o);
        list[n].ldy = count * experts[e].out;
        list[n++].offset_y = (size_t)e * (size_t)experts[e].out;
        if (n == MR_MOST_PRODUCTS || e == count - 1) {
            MR_TRY(mr_products(ws->rt, list, n, ws->rows));
            n = 0;
        }
    }
    return 0;
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct mixture *own = node->own;
    size_t rows = p->rows, E = (size_t)p->cfg->num_experts, D = (size_t)mr_expert_width(p->cfg);
    size_t A = (size_t)mr_expert_count(p->cfg);
    MR_TRY(mr_experts_find(p->params, p->cfg, node->prefix, &own->gate, own->expert, &own->fc));
    MR_TRY(mr_keep(p, &own->scores, rows * E));
    MR_TRY(mr_keep(p, &own->dropped, rows * E));
    MR_TRY(mr_keep(p, &own->o, rows * A * D));
    MR_TRY(mr_keep(p, &own->h, rows * D));
    MR_TRY(mr_keep(p, &own->mean, (size_t)p->batch * A * D));
    if (!p->training)
        return 0;
    MR_TRY(mr_experts_sinks(p, own->expert, mr_expert_count(p->cfg)));
    MR_TRY(mr_scratch(p, &own->dscores, rows * E));
    MR_TRY(mr_scratch(p, &own->d_o, rows * A * D));
    return mr_scratch(p, &own->dh, rows * D);
}

static float term_weight(const mr_workspace *ws)
{
    return ws->cfg->aux == MR_AUX_DIVERSITY ? (float)(ws->cfg->aux_weight / ws->cfg->n_layer) * ws->loss_scale : 0;
}

static bool drops(const mr_workspace *ws)
{
    return ws->backward && ws->cfg->dropout > 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct mixture *own = node->own;
    mr_runtime *rt = ws->rt;
    const struct mr_config *cfg = ws->cfg;
    int R = ws->rows, E = cfg->num_experts, A = mr_expert_count(cfg), D = mr_expert_width(cfg);
    const mr_tensor *scores = &own->scores;
    MR_TRY(mr_linear_run(ws, &own->gate, x, &own->scores));
    MR_TRY(mr_softmax_forward(rt, &own->scores, &own->scores, R, E));
    if (drops(ws)) {
        MR_TRY(mr_copy(rt, &own->scores, 0, &own->dropped, 0, (size_t)R * (size_t)E));
        MR_TRY(mr_drop(ws, node->site, &own->dropped, (size_t)R * (size_t)E));
        scores = &own->dropped;
    }
    for (int e = 0; e < A; e++)
        MR_TRY(mr_linear_forward_columns(rt, x, &own->expert[e].weight->value, &own->expert[e].bias->value, &own->o, R,
                                         cfg->n_embd, D, A * D, (size_t)e * (size_t)D));
    MR_TRY(mr_mixture_forward(rt, scores, &own->o, &own->h, R, E, A, D));
    if (cfg->aux == MR_AUX_DIVERSITY && ws->options.training) /* no loss without: decoding does without it */
        MR_TRY(mr_diversity_forward(rt, &own->o, &own->mean, &ws->aux, ws->batch, ws->time, A, D, term_weight(ws)));
    return mr_linear_run(ws, &own->fc, &own->h, y);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct mixture *own = node->own;
    mr_runtime *rt = ws->rt;
    const struct mr_config *cfg = ws->cfg;
    int R = ws->rows, E = cfg->num_experts, A = mr_expert_count(cfg), D = mr_expert_width(cfg);
    MR_TRY(mr_linear_backward(ws, &own->fc, &own->h, dy, &own->dh, false));
    MR_TRY(mr_mixture_backward(rt, drops(ws) ? &own->dropped : &own->scores, &own->o, &own->dh, &own->dscores,
                               &own->d_o, R, E, A, D));
    if (cfg->aux == MR_AUX_DIVERSITY)
        MR_TRY(mr_diversity_backward(rt, &own->mean, &own->d_o, ws->batch, ws->time, A, D, term_weight(ws)));
    MR_TRY(mr_drop(ws, node->site, &own->dscores, (size_t)R * (size_t)E));
    MR_TRY(mr_softmax_backward(rt, &own->scores, &own->dscores, &own->dscores, R, E));
    MR_TRY(mr_linear_backward(ws, &own->gate, x, &own->dscores, dx, false));
    for (int e = 0; e < A; e++) {
        size_t at = (size_t)e * (size_t)D;
        MR_TRY(mr_linear_backward_input_columns(rt, &own->d_o, &own->expert[e].weight->value, dx, R, cfg->n_embd, D,
                                                A * D, at, true));
        if (mr_trained(own->expert[e].weight) || mr_trained(own->expert[e].bias))
            MR_TRY(mr_linear_backward_weight_columns(rt, x, &own->d_o, mr_grad(ws, own->expert[e].weight),
                                                     mr_grad(ws, own->expert[e].bias), &ws->reduce, R, cfg->n_embd, D,
                                                     A * D, at));
    }
    return 0;
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mixture *own = node->own;
    const struct mr_config *cfg = ws->cfg;
    const mr_tensor *in;
    int A = mr_expert_count(cfg), D = mr_expert_width(cfg);
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    MR_TRY(mr_experts_step(ws, &own->gate, own->expert, A, in, &own->scores, &own->o));
    MR_TRY(mr_mixture_step(ws->rt, &own->scores, &own->o, &own->h, ws->rows, cfg->num_experts, A, D));
    struct mr_product out = mr_linear_product(&own->fc, &own->h, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_mixture = {
    .name = "mixture",
    .own = sizeof(struct mixture),
    .declare = mr_experts_declare,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
