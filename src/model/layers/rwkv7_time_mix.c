/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-7. Decay, rate, gate and what is taken over of the first block's values come from low-rank pairs,
 * base + act(x · down) · up; out = output((ln_x(recurrence) + bonus) · gate). */
#include "model/layers/rwkv7_time_mix.h"

#include "ops/elementwise.h"
#include "ops/group_norm.h"
#include "ops/wkv7_step.h"

/* ---- memory ----------------------------------------------------------------------------------------------- */

/* The row before the first [C], and [H,N,N]. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = (size_t)cfg->n_embd * (size_t)cfg->head_size;
    return 2;
}

static int plan_pairs(struct mr_rwkv7_time_mix *own, struct mr_planner *p, const char *prefix)
{
    static const struct {
        const char *down, *up, *base;
        enum mr_activation act;
    } pairs[PAIRS] = {{"w1", "w2", "w0", MR_ACT_TANH},
                      {"a1", "a2", "a0", MR_ACT_NONE},
                      {"v1", "v2", "v0", MR_ACT_NONE},
                      {"g1", "g2", NULL, MR_ACT_SIGMOID}};
    int widest = 0;
    for (int i = 0; i < PAIRS; i++) {
        MR_TRY(mr_low_rank_plan(&own->pair[i], p, prefix, pairs[i].down, pairs[i].up, pairs[i].base, pairs[i].act));
        widest = own->pair[i].width > widest ? own->pair[i].width : widest;
    }
    return mr_scratch(p, &own->lows, PAIRS * p->steps * (size_t)widest);
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct mr_rwkv7_time_mix *own = node->own;
    size_t B = (size_t)p->batch, C = (size_t)p->cfg->n_embd, H = (size_t)mr_head_count(p->cfg), rows = p->rows;
    const struct mr_wkv7 s = mr_rwkv7_recurrence(p->batch, p->time, p->cfg);
    MR_TRY(mr_rwkv7_find(own, p->params, node->prefix));
    MR_TRY(plan_pairs(own, p, node->prefix));
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_keep(p, &own->mixed[i], rows * C));
    for (int i = 0; i < R7_LINEARS; i++)
        if (i != R7_V || node->block)
            MR_TRY(mr_keep(p, &own->in[i], rows * C));
    MR_TRY(mr_keep(p, &own->kappa, rows * C));
    MR_TRY(mr_keep(p, &own->y, rows * C));
    MR_TRY(mr_keep(p, &own->normed, rows * C));
    MR_TRY(mr_keep(p, &own->mean, rows * H));
    MR_TRY(mr_keep(p, &own->rstd, rows * H));
    MR_TRY(mr_shared(p, &own->v_first, "v_first", rows * C));
    MR_TRY(mr_scratch(p, &own->first, B * C * (C / H)));
    if (!p->training)
        return 0;
    for (int i = 0; i < (node->block ? 4 : 3); i++)
        MR_TRY(mr_keep(p, &own->made[i], rows * C));
    MR_TRY(mr_keep(p, &own->gated, rows * C));
    MR_TRY(mr_keep(p, &own->kept, mr_wkv7_kept(p->rt, &s)));
    return mr_rwkv7_plan_backward(own, p);
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

/* Texts without slots begin with the learned state, or zeros. */
static int begin(const struct mr_rwkv7_time_mix *own, mr_workspace *ws, const mr_tensor **state)
{
    *state = &own->first;
    if (!own->state)
        return mr_zero(ws->rt, &own->first);
    for (int b = 0; b < ws->batch; b++)
        MR_TRY(mr_copy(ws->rt, &own->state->value, 0, &own->first, (size_t)b * own->state->count, own->state->count));
    return 0;
}

/* state: the recurrence's, or the first one. */
static int shift(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor **state)
{
    struct mr_rwkv7_time_mix *own = node->own;
    const struct mr_token_shift s = mr_rwkv7_shift(ws->batch, ws->time, ws->cfg);
    const mr_tensor *previous, *share[MIXTURES], *mixed[MIXTURES];
    for (int i = 0; i < MIXTURES; i++) {
        share[i] = &own->mix[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_state_of(ws, node, 1, state));
    MR_TRY(mr_token_shift_forward(ws->rt, &s, x, previous, share, mixed));
    return previous ? mr_token_shift_state(ws->rt, &s, x, previous) : begin(own, ws, state);
}

struct mr_wkv7_inputs mr_rwkv7_inputs(const struct mr_rwkv7_time_mix *own, int block, bool training)
{
    const mr_tensor *v = block ? &own->in[R7_V] : own->v_first;
    return (struct mr_wkv7_inputs){.w = &own->pair[PAIR_W].out,
                                   .a = &own->pair[PAIR_A].out,
                                   .k = &own->in[R7_K],
                                   .v = v,
                                   .v_first = block ? own->v_first : NULL,
                                   .share = block ? &own->pair[PAIR_V].out : NULL,
                                   .k_k = &own->k_k->value,
                                   .k_a = &own->k_a->value,
                                   .change = training ? &own->made[0] : &own->pair[PAIR_W].out,
                                   .removal = training ? &own->made[1] : &own->pair[PAIR_A].out,
                                   .key = training ? &own->made[2] : &own->in[R7_K],
                                   .value = training && block ? &own->made[3] : v,
                                   .kappa = &own->kappa};
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct mr_rwkv7_time_mix *own = node->own;
    const struct mr_config *cfg = ws->cfg;
    const struct mr_wkv7 s = mr_rwkv7_recurrence(ws->batch, ws->time, cfg);
    const struct mr_wkv7_inputs in = mr_rwkv7_inputs(own, node->block, ws->training);
    mr_runtime *rt = ws->rt;
    const mr_tensor *state, *r = &own->in[R7_R], *gated = ws->training ? &own->gated : &own->normed;
    MR_TRY(shift(node, ws, x, &state));
    for (int i = 0; i < R7_LINEARS; i++)
        MR_TRY(mr_linear_run(ws, &own->linear[i], &own->mixed[mr_rwkv7_linear_mix[i]], i == R7_V ? in.v : &own->in[i]));
    for (int i = 0; i < PAIRS; i++)
        if (i != PAIR_V || node->block)
            MR_TRY(mr_low_rank_forward(ws, &own->pair[i], &own->mixed[mr_rwkv7_pair_mix[i]]));
    MR_TRY(mr_wkv7_inputs(rt, &s, &in));
    MR_TRY(mr_wkv7_forward(rt, &s, r, in.change, in.key, in.value, in.kappa, in.removal, state, &own->y,
                           ws->training ? &own->kept : NULL));
    MR_TRY(mr_group_norm_forward(rt, &own->y, &own->ln_weight->value, &own->ln_bias->value, &own->normed, &own->mean,
                                 &own->rstd, ws->rows, s.heads, s.width, (float)cfg->ln_x_eps));
    MR_TRY(mr_wkv7_output(rt, &s, r, in.key, in.value, &own->r_k->value, &own->pair[PAIR_G].out, &own->normed, gated));
    MR_TRY(mr_linear_run(ws, &own->output, gated, y));
    return mr_drop(ws, node->site, y, (size_t)ws->rows * (size_t)cfg->n_embd);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct mr_rwkv7_time_mix *own = node->own;
    bool first = node->block == 0;
    const mr_tensor *v = first ? own->v_first : &own->in[R7_V];
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    struct mr_product down[R7_LINEARS + PAIRS], up[PAIRS];
    int downs = 0, ups = 0;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->mix, MIXTURES, false, false));
    for (int i = 0; i < R7_LINEARS; i++)
        down[downs++] = mr_linear_product(&own->linear[i], &ws->mixes, (size_t)mr_rwkv7_linear_mix[i] * n,
                                          i == R7_V ? v : &own->in[i]);
    for (int i = 0; i < PAIRS; i++) {
        if (i == PAIR_V && first)
            continue;
        size_t low = (size_t)i * own->lows.count / PAIRS;
        down[downs++] = mr_low_rank_down(&own->pair[i], &ws->mixes, (size_t)mr_rwkv7_pair_mix[i] * n, &own->lows, low);
        up[ups++] = mr_low_rank_up(&own->pair[i], &own->lows, low);
    }
    MR_TRY(mr_products(ws->rt, down, downs, ws->rows));
    MR_TRY(mr_products(ws->rt, up, ups, ws->rows));
    const struct mr_wkv7_step s = {.rows = ws->rows,
                                   .heads = mr_head_count(ws->cfg),
                                   .width = ws->cfg->head_size,
                                   .slots = mr_slots_of(ws, node, 1),
                                   .r = &own->in[R7_R],
                                   .k = &own->in[R7_K],
                                   .v = v,
                                   .w = &own->pair[PAIR_W].out,
                                   .a = &own->pair[PAIR_A].out,
                                   .g = &own->pair[PAIR_G].out,
                                   .v_first = first ? NULL : own->v_first,
                                   .share = first ? NULL : &own->pair[PAIR_V].out,
                                   .k_k = &own->k_k->value,
                                   .k_a = &own->k_a->value,
                                   .r_k = &own->r_k->value,
                                   .weight = &own->ln_weight->value,
                                   .bias = &own->ln_bias->value,
                                   .eps = (float)ws->cfg->ln_x_eps};
    MR_TRY(mr_wkv7_step(ws->rt, &s, &own->normed));
    struct mr_product out = mr_linear_product(&own->output, &own->normed, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_rwkv7_time_mix = {
    .name = "rwkv7_time_mix",
    .own = sizeof(struct mr_rwkv7_time_mix),
    .declare = mr_rwkv7_declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = mr_rwkv7_backward,
};
