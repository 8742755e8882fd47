/* SPDX-License-Identifier: GPL-3.0-or-later
 * The mixture with routing: each token goes to the A experts of its largest scores, which are renormalised; and the
 * balance term. Dropout acts on the weights of the chosen experts. */
#include "ops/mixture_topk.h"

#include "model/layer.h"
#include "model/layers/experts.h"
#include "model/workspace.h"
#include "ops/expert_linear.h"
#include "ops/mixture.h"
#include "ops/mixture_step.h"

struct mixture_topk {
    struct mr_linear gate, expert[MR_MAX_EXPERTS], fc;
    mr_tensor scores;            /* [R,E] */
    mr_tensor routes;            /* i32, kept by ops/mixture_topk */
    mr_tensor weights, dropped;  /* [R,A] */
    mr_tensor o, h;              /* [R,A,D], [R,D] */
    mr_tensor dscores, dweights; /* scratch [R,E], [R,A] */
    mr_tensor d_o, dh;           /* scratch [R,A,D], [R,D] */
    mr_tensor route_scratch, linear_scratch;
    mr_tensor step_o; /* scratch [S,E,D] */
};

static struct mr_expert_linear experts_of(const struct mr_config *cfg, int rows)
{
    return (struct mr_expert_linear){
        .topk = {.rows = rows, .experts = cfg->num_experts, .active = cfg->num_active_experts},
        .in = cfg->n_embd,
        .out = mr_expert_width(cfg)};
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct mixture_topk *own = node->own;
    size_t rows = p->rows, E = (size_t)p->cfg->num_experts, A = (size_t)p->cfg->num_active_experts;
    size_t D = (size_t)mr_expert_width(p->cfg);
    struct mr_expert_linear experts = experts_of(p->cfg, (int)rows);
    size_t forward = mr_expert_linear_forward_scratch(&experts), backward = mr_expert_linear_backward_scratch(&experts);
    MR_TRY(mr_experts_find(p->params, p->cfg, node->prefix, &own->gate, own->expert, &own->fc));
    MR_TRY(mr_plan_add(p->plan, p->kept, &own->routes, MR_I32, mr_topk_routes(&experts.topk)));
    MR_TRY(mr_keep(p, &own->scores, rows * E));
    MR_TRY(mr_keep(p, &own->weights, rows * A));
    MR_TRY(mr_keep(p, &own->dropped, rows * A));
    MR_TRY(mr_keep(p, &own->o, rows * A * D));
    MR_TRY(mr_keep(p, &own->h, rows * D));
    MR_TRY(mr_scratch(p, &own->route_scratch, mr_topk_scratch(&experts.topk)));
    MR_TRY(mr_scratch(p, &own->linear_scratch, p->training && backward > forward ? backward : forward));
    MR_TRY(mr_scratch(p, &own->step_o, p->steps * E * D));
    if (!p->training)
        return 0;
    MR_TRY(mr_experts_sinks(p, own->expert, (int)E));
    MR_TRY(mr_scratch(p, &own->dscores, rows * E));
    MR_TRY(mr_scratch(p, &own->dweights, rows * A));
    MR_TRY(mr_scratch(p, &own->d_o, rows * A * D));
    return mr_scratch(p, &own->dh, rows * D);
}

static float term_weight(const mr_workspace *ws)
{
    return ws->cfg->aux == MR_AUX_BALANCE ? (float)(ws->cfg->aux_weight / ws->cfg->n_layer) * ws->loss_scale : 0;
}

static bool drops(const mr_workspace *ws)
{
    return ws->backward && ws->cfg->dropout > 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct mixture_topk *own = node->own;
    mr_runtime *rt = ws->rt;
    int R = ws->rows, E = ws->cfg->num_experts, A = ws->cfg->num_active_experts, D = mr_expert_width(ws->cfg);
    struct mr_expert_linear experts = experts_of(ws->cfg, R);
    const mr_tensor *w[MR_MAX_EXPERTS], *b[MR_MAX_EXPERTS], *weights = &own->weights;
    for (int e = 0; e < E; e++) {
        w[e] = &own->expert[e].weight->value;
        b[e] = &own->expert[e].bias->value;
    }
    MR_TRY(mr_linear_run(ws, &own->gate, x, &own->scores));
    MR_TRY(mr_softmax_forward(rt, &own->scores, &own->scores, R, E));
    MR_TRY(mr_topk_route(rt, &experts.topk, &own->scores, &own->routes, &own->weights,
                         ws->cfg->aux == MR_AUX_BALANCE && ws->options.training ? &ws->aux : NULL, term_weight(ws),
                         &own->route_scratch));
    if (drops(ws)) {
        MR_TRY(mr_copy(rt, &own->weights, 0, &own->dropped, 0, (size_t)R * (size_t)A));
        MR_TRY(mr_drop(ws, node->site, &own->dropped, (size_t)R * (size_t)A));
        weights = &own->dropped;
    }
    MR_TRY(mr_expert_linear_forward(rt, &experts, x, &own->routes, w, b, &own->o, &own->linear_scratch));
    MR_TRY(mr_mixture_forward(rt, weights, &own->o, &own->h, R, A, A, D));
    return mr_linear_run(ws, &own->fc, &own->h, y);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct mixture_topk *own = node->own;
    mr_runtime *rt = ws->rt;
    int R = ws->rows, E = ws->cfg->num_experts, A = ws->cfg->num_active_experts, D = mr_expert_width(ws->cfg);
    struct mr_expert_linear experts = experts_of(ws->cfg, R);
    const mr_tensor *w[MR_MAX_EXPERTS], *dw[MR_MAX_EXPERTS], *db[MR_MAX_EXPERTS];
    bool trained = false;
    for (int e = 0; e < E; e++) {
        trained = trained || mr_trained(own->expert[e].weight) || mr_trained(own->expert[e].bias);
        w[e] = &own->expert[e].weight->value;
        dw[e] = mr_grad(ws, own->expert[e].weight);
        db[e] = mr_grad(ws, own->expert[e].bias);
    }
    MR_TRY(mr_linear_backward(ws, &own->fc, &own->h, dy, &own->dh, false));
    MR_TRY(mr_mixture_backward(rt, drops(ws) ? &own->dropped : &own->weights, &own->o, &own->dh, &own->dweights,
                               &own->d_o, R, A, A, D));
    MR_TRY(mr_drop(ws, node->site, &own->dweights, (size_t)R * (size_t)A));
    MR_TRY(mr_topk_scores_backward(rt, &experts.topk, &own->scores, &own->routes, &own->weights, &own->dweights,
                                   term_weight(ws), &own->dscores));
    MR_TRY(mr_softmax_backward(rt, &own->scores, &own->dscores, &own->dscores, R, E));
    MR_TRY(mr_linear_backward(ws, &own->gate, x, &own->dscores, dx, false));
    MR_TRY(mr_expert_linear_backward_input(rt, &experts, &own->d_o, &own->routes, w, dx, true, &own->linear_scratch));
    return trained ? mr_expert_linear_backward_weight(rt, &experts, x, &own->d_o, &own->routes, dw, db) : 0;
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mixture_topk *own = node->own;
    const mr_tensor *in;
    int E = ws->cfg->num_experts, A = ws->cfg->num_active_experts, D = mr_expert_width(ws->cfg);
    MR_TRY(mr_step_norm(ws, norm, x, &in));
    MR_TRY(mr_experts_step(ws, &own->gate, own->expert, E, in, &own->scores, &own->step_o));
    MR_TRY(mr_topk_step(ws->rt, &own->scores, &own->step_o, &own->h, ws->rows, E, A, D));
    struct mr_product out = mr_linear_product(&own->fc, &own->h, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_mixture_topk = {
    .name = "mixture_topk",
    .own = sizeof(struct mixture_topk),
    .declare = mr_experts_declare,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
