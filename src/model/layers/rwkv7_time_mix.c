/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-7. Decay, rate, gate and what is taken over of the first block's values come from low-rank pairs,
 * base + act(x · down) · up; out = output((ln_x(recurrence) + bonus) · gate). */
#include <math.h>
#include <stdio.h>

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/elementwise.h"
#include "ops/group_norm.h"
#include "ops/token_shift.h"
#include "ops/wkv7.h"
#include "ops/wkv7_step.h"
#include "rt/gemm.h"

/* Linear layers, and by what the token shift mixes their inputs: r, k, v; then the pairs w, a, v, g. v's share the
 * mixture. */
enum { R, K, V, LINEARS };
enum { PAIR_W, PAIR_A, PAIR_V, PAIR_G, PAIRS };
enum { MIX_R, MIX_W, MIX_K, MIX_V, MIX_A, MIX_G, MIXTURES };

struct pair {
    struct mr_param *down, *up, *base; /* (C,L), (L,C), (1,1,C) or NULL */
    int width;                         /* L */
    mr_tensor out;                     /* [R,C] */
};

struct tmix {
    struct mr_param *mix[MIXTURES], *k_k, *k_a, *r_k, *ln_weight, *ln_bias;
    struct mr_linear linear[LINEARS], output;
    struct pair pair[PAIRS];
    mr_tensor mixed[MIXTURES];  /* [R,C] */
    mr_tensor in[LINEARS];      /* r, k, v [R,C]; v of block 0 is v_first */
    mr_tensor low;              /* [R, the widest pair] */
    mr_tensor lows;             /* [PAIRS, S, the widest pair]: of a step */
    mr_tensor kappa, y, normed; /* [R,C] */
    mr_tensor mean, rstd;       /* [R,H] */
    const mr_tensor *v_first;   /* [R,C], of all blocks: 0 writes it, the others read it */
    mr_tensor zero;             /* scratch [B,H,N,N]: the state of pieces without slots */
};

static const char *const linear_names[LINEARS] = {"receptance", "key", "value"};
static const char *const mix_names[MIXTURES] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
static const char pair_names[PAIRS] = {'w', 'a', 'v', 'g'};
static const int linear_mix[LINEARS] = {MIX_R, MIX_K, MIX_V}, pair_mix[PAIRS] = {MIX_W, MIX_A, MIX_V, MIX_G};

/* ---- parameters ------------------------------------------------------------------------------------------- */

static int declare_filled(struct mr_params *params, const char *prefix, const char *name, const size_t *shape,
                          double fill)
{
    struct mr_param *p = mr_declare(params, prefix, name, shape);
    if (!p)
        return params->error;
    p->fill = fill;
    return 0;
}

/* down inits at 0, so that at first the base alone counts. */
static int declare_pair(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int i, int block)
{
    static const double bases[PAIRS] = {0, 0, 1, 0};
    size_t C = (size_t)cfg->n_embd, L = (size_t)mr_lora_width(cfg, i);
    char base[] = {pair_names[i], '0', 0}, down[] = {pair_names[i], '1', 0}, up[] = {pair_names[i], '2', 0};
    if (i == PAIR_W)
        MR_TRY(mr_declare_init(params, prefix, base, mr_shape(1, 1, C), block, mr_init_decay));
    else if (i != PAIR_G)
        MR_TRY(declare_filled(params, prefix, base, mr_shape(1, 1, C), bases[i]));
    MR_TRY(declare_filled(params, prefix, down, mr_shape(C, L), 0));
    struct mr_param *p = mr_declare(params, prefix, up, mr_shape(L, C));
    if (!p)
        return params->error;
    p->std = 1 / sqrt((double)L);
    return 0;
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    mr_init_values *const inits[MIXTURES] = {mr_init_before_gate,  mr_init_before_key, mr_init_before_key,
                                             mr_init_before_value, mr_init_before_key, mr_init_before_gate};
    int C = cfg->n_embd;
    size_t H = (size_t)mr_head_count(cfg), N = (size_t)cfg->head_size;
    char norm[MR_NAME];
    if (cfg->head_size > MR_WKV7_WIDTH)
        return mr_fail(MR_EINVAL, "head_size %d is more than %d, the largest supported for %s", cfg->head_size,
                       MR_WKV7_WIDTH, mr_family_name(cfg->family));
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_declare_init(params, prefix, mix_names[i], mr_shape(1, 1, (size_t)C), block, inits[i]));
    for (int i = 0; i < PAIRS; i++)
        MR_TRY(declare_pair(params, cfg, prefix, i, block));
    MR_TRY(declare_filled(params, prefix, "k_k", mr_shape(1, 1, (size_t)C), 0.85));
    MR_TRY(declare_filled(params, prefix, "k_a", mr_shape(1, 1, (size_t)C), 1));
    MR_TRY(declare_filled(params, prefix, "r_k", mr_shape(H, N), 0));
    for (int i = 0; i < LINEARS; i++)
        MR_TRY(mr_linear_declare(params, prefix, linear_names[i], C, C, false, 0.02));
    MR_TRY(mr_linear_declare(params, prefix, "output", C, C, false, 0.02 / sqrt(2.0 * cfg->n_layer)));
    snprintf(norm, sizeof norm, "%sln_x.", prefix);
    return mr_norm_declare(params, norm, C, true);
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

static int plan_pair(struct pair *pair, struct mr_planner *p, const char *prefix, char letter, size_t n)
{
    char base[] = {letter, '0', 0}, down[] = {letter, '1', 0}, up[] = {letter, '2', 0};
    pair->base = mr_param_find(p->params, prefix, base);
    pair->down = mr_param_find(p->params, prefix, down);
    pair->up = mr_param_find(p->params, prefix, up);
    pair->width = (int)pair->down->shape[1];
    return mr_scratch(p, &pair->out, n);
}

static int find_parameters(struct tmix *own, const struct mr_params *params, const char *prefix)
{
    for (int i = 0; i < MIXTURES; i++)
        own->mix[i] = mr_param_find(params, prefix, mix_names[i]);
    for (int i = 0; i < LINEARS; i++)
        MR_TRY(mr_linear_find(&own->linear[i], params, prefix, linear_names[i]));
    own->k_k = mr_param_find(params, prefix, "k_k");
    own->k_a = mr_param_find(params, prefix, "k_a");
    own->r_k = mr_param_find(params, prefix, "r_k");
    own->ln_weight = mr_param_find(params, prefix, "ln_x.weight");
    own->ln_bias = mr_param_find(params, prefix, "ln_x.bias");
    return mr_linear_find(&own->output, params, prefix, "output");
}

/* The row before the first [C], and [H,N,N]. */
static int states(const struct mr_config *cfg, size_t *sizes)
{
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = (size_t)cfg->n_embd * (size_t)cfg->head_size;
    return 2;
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    size_t B = (size_t)p->batch, C = (size_t)p->cfg->n_embd, H = (size_t)mr_head_count(p->cfg), rows = p->rows;
    mr_tensor *all[] = {&own->kappa, &own->y, &own->normed};
    int widest = 0;
    MR_TRY(find_parameters(own, p->params, node->prefix));
    for (int i = 0; i < PAIRS; i++) {
        MR_TRY(plan_pair(&own->pair[i], p, node->prefix, pair_names[i], rows * C));
        widest = own->pair[i].width > widest ? own->pair[i].width : widest;
    }
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_scratch(p, &own->mixed[i], rows * C));
    for (int i = 0; i < LINEARS; i++)
        MR_TRY(mr_scratch(p, &own->in[i], rows * C));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        MR_TRY(mr_scratch(p, all[i], rows * C));
    MR_TRY(mr_scratch(p, &own->low, rows * (size_t)widest));
    MR_TRY(mr_scratch(p, &own->lows, PAIRS * p->steps * (size_t)widest));
    MR_TRY(mr_scratch(p, &own->mean, rows * H));
    MR_TRY(mr_scratch(p, &own->rstd, rows * H));
    MR_TRY(mr_shared(p, &own->v_first, "v_first", rows * C));
    return mr_scratch(p, &own->zero, B * C * (C / H));
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

/* state: the recurrence's, or zeros. */
static int shift(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor **state)
{
    struct tmix *own = node->own;
    const struct mr_token_shift s = {.batch = ws->batch, .time = ws->time, .dim = ws->cfg->n_embd, .count = MIXTURES};
    const mr_tensor *previous, *share[MIXTURES], *mixed[MIXTURES];
    for (int i = 0; i < MIXTURES; i++) {
        share[i] = &own->mix[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_state_of(ws, node, 1, state));
    MR_TRY(mr_token_shift_forward(ws->rt, &s, x, previous, share, mixed));
    return previous ? mr_token_shift_state(ws->rt, &s, x, previous) : mr_zero(ws->rt, *state = &own->zero);
}

/* out = base + act(x · down) · up: tanh for the decay, sigmoid for the gate. */
static int apply_pair(struct tmix *own, mr_workspace *ws, int i)
{
    struct pair *pair = &own->pair[i];
    size_t n = (size_t)ws->rows * (size_t)pair->width;
    struct mr_gemm down = {.m = ws->rows, .n = pair->width, .k = ws->cfg->n_embd};
    struct mr_gemm up = {
        .m = ws->rows, .n = ws->cfg->n_embd, .k = pair->width, .bias = pair->base ? &pair->base->value : NULL};
    MR_TRY(mr_gemm(ws->rt, &down, &own->mixed[pair_mix[i]], &pair->down->value, &own->low));
    if (i == PAIR_W)
        MR_TRY(mr_tanh_forward(ws->rt, &own->low, &own->low, n));
    if (i == PAIR_G)
        MR_TRY(mr_sigmoid_forward(ws->rt, &own->low, &own->low, n));
    return mr_gemm(ws->rt, &up, &own->low, &pair->up->value, &pair->out);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_config *cfg = ws->cfg;
    const struct mr_wkv7 s = {ws->batch, ws->time, mr_head_count(cfg), cfg->head_size};
    mr_runtime *rt = ws->rt;
    bool first = node->block == 0;
    const mr_tensor *state, *r = &own->in[R], *k = &own->in[K], *v = first ? own->v_first : &own->in[V];
    const mr_tensor *w = &own->pair[PAIR_W].out, *a = &own->pair[PAIR_A].out, *g = &own->pair[PAIR_G].out;
    MR_TRY(shift(node, ws, x, &state));
    for (int i = 0; i < LINEARS; i++)
        MR_TRY(mr_linear_run(ws, &own->linear[i], &own->mixed[linear_mix[i]], i == V ? v : &own->in[i]));
    for (int i = 0; i < PAIRS; i++)
        if (i != PAIR_V || !first)
            MR_TRY(apply_pair(own, ws, i));
    MR_TRY(mr_wkv7_inputs(rt, &s, w, a, k, v, &own->kappa, first ? NULL : own->v_first, &own->pair[PAIR_V].out,
                          &own->k_k->value, &own->k_a->value));
    MR_TRY(mr_wkv7_forward(rt, &s, r, w, k, v, &own->kappa, a, state, &own->y));
    MR_TRY(mr_group_norm_forward(rt, &own->y, &own->ln_weight->value, &own->ln_bias->value, &own->normed, &own->mean,
                                 &own->rstd, ws->rows, s.heads, s.width, (float)cfg->ln_x_eps));
    MR_TRY(mr_wkv7_output(rt, &s, r, k, v, &own->r_k->value, g, &own->normed));
    return mr_linear_run(ws, &own->output, &own->normed, y);
}

/* A pair's narrow side of one token each, and its wide one. */
static struct mr_product pair_down(const struct tmix *own, const mr_workspace *ws, int i)
{
    const struct pair *pair = &own->pair[i];
    static const enum mr_activation acts[PAIRS] = {[PAIR_W] = MR_ACT_TANH, [PAIR_G] = MR_ACT_SIGMOID};
    return (struct mr_product){.x = &ws->mixes,
                               .offset_x = (size_t)pair_mix[i] * (size_t)ws->rows * (size_t)ws->cfg->n_embd,
                               .w = &pair->down->value,
                               .y = &own->lows,
                               .offset_y = (size_t)i * own->lows.count / PAIRS,
                               .n = pair->width,
                               .k = ws->cfg->n_embd,
                               .transposed = true,
                               .act = acts[i]};
}

static struct mr_product pair_up(const struct tmix *own, const mr_workspace *ws, int i)
{
    const struct pair *pair = &own->pair[i];
    return (struct mr_product){.x = &own->lows,
                               .offset_x = (size_t)i * own->lows.count / PAIRS,
                               .w = &pair->up->value,
                               .bias = pair->base ? &pair->base->value : NULL,
                               .y = &pair->out,
                               .n = ws->cfg->n_embd,
                               .k = pair->width,
                               .transposed = true};
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct tmix *own = node->own;
    bool first = node->block == 0;
    const mr_tensor *v = first ? own->v_first : &own->in[V];
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    struct mr_product down[LINEARS + PAIRS], up[PAIRS];
    int downs = 0, ups = 0;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->mix, MIXTURES, false, false));
    for (int i = 0; i < LINEARS; i++)
        down[downs++] =
            mr_linear_product(&own->linear[i], &ws->mixes, (size_t)linear_mix[i] * n, i == V ? v : &own->in[i]);
    for (int i = 0; i < PAIRS; i++) {
        if (i == PAIR_V && first)
            continue;
        down[downs++] = pair_down(own, ws, i);
        up[ups++] = pair_up(own, ws, i);
    }
    MR_TRY(mr_products(ws->rt, down, downs, ws->rows));
    MR_TRY(mr_products(ws->rt, up, ups, ws->rows));
    const struct mr_wkv7_step s = {.rows = ws->rows,
                                   .heads = mr_head_count(ws->cfg),
                                   .width = ws->cfg->head_size,
                                   .slots = mr_slots_of(ws, node, 1),
                                   .r = &own->in[R],
                                   .k = &own->in[K],
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
    .own = sizeof(struct tmix),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
};
