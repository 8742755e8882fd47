/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-5: 5.1 has one decay and one bonus per head and no gate, 5.2 has them per channel, and a gate. */
#include <math.h>

#include "model/layers/wkv6.h"
#include "model/workspace.h"
#include "ops/elementwise.h"
#include "ops/token_shift.h"
#include "ops/wkv6_backward.h"

struct tmix {
    struct mr_wkv6_core core;
    struct mr_param *share[MR_WKV6_INPUTS], *decay, *bonus;
    mr_tensor mixed[MR_WKV6_INPUTS]; /* xr, xk, xv, xg [R,C] */
    mr_tensor change, u;             /* scratch [C]; 5.2 has u as a parameter */
    /* Scratch of backward: [R,C], [C] */
    mr_tensor dmixed[MR_WKV6_INPUTS], dchange, du, shift_scratch;
};

static const char *const share_names[MR_WKV6_INPUTS] = {"time_mix_r", "time_mix_k", "time_mix_v", "time_mix_g"};

/* The logarithm of what mr_init_bonus says, where 0.05 stands for less. */
static void init_first(const struct mr_config *cfg, int block, float *out, size_t heads)
{
    mr_init_bonus(cfg, block, out, heads);
    for (size_t h = 0; h < heads; h++)
        out[h] = out[h] > 0.05f ? logf(out[h]) : -3;
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    size_t C = (size_t)cfg->n_embd, H = (size_t)mr_head_count(cfg);
    const char *order[] = {"time_mix_k", "time_mix_v", "time_mix_r", "time_mix_g"};
    mr_init_values *const inits[] = {mr_init_present_key, mr_init_present_value, mr_init_present_gate,
                                     mr_init_present_gate};
    for (int i = 0; i < (cfg->rwkv51 ? 3 : 4); i++)
        MR_TRY(mr_declare_init(params, prefix, order[i], mr_shape(1, 1, C), block, inits[i]));
    if (cfg->rwkv51) {
        MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape(H), block, mr_init_decay));
        MR_TRY(mr_declare_init(params, prefix, "time_first", mr_shape(H), block, init_first));
    } else {
        MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape(H, C / H), block, mr_init_decay));
        MR_TRY(mr_declare_init(params, prefix, "time_faaaa", mr_shape(H, C / H), block, mr_wkv6_init_bonus));
    }
    mr_param_find(params, prefix, "time_decay")->rate = 2;
    mr_param_find(params, prefix, cfg->rwkv51 ? "time_first" : "time_faaaa")->rate = 3;
    return mr_wkv6_core_declare(params, cfg, prefix, block, !cfg->rwkv51);
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){
        .batch = batch, .time = time, .dim = cfg->n_embd, .count = cfg->rwkv51 ? 3 : 4, .keeps = true};
}

static int plan_backward(struct tmix *own, struct mr_planner *p, size_t n)
{
    const struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    size_t C = (size_t)p->cfg->n_embd;
    for (int i = 0; i < own->core.inputs; i++)
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
    MR_TRY(mr_scratch(p, &own->dchange, C));
    MR_TRY(mr_scratch(p, &own->du, p->cfg->rwkv51 ? C : 0));
    return mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    bool old = p->cfg->rwkv51;
    size_t C = (size_t)p->cfg->n_embd, n = p->rows * C;
    MR_TRY(mr_wkv6_core_plan(&own->core, p, node->prefix, !old, false));
    own->decay = mr_param_find(p->params, node->prefix, "time_decay");
    own->bonus = mr_param_find(p->params, node->prefix, old ? "time_first" : "time_faaaa");
    for (int i = 0; i < own->core.inputs; i++) {
        own->share[i] = mr_param_find(p->params, node->prefix, share_names[i]);
        MR_TRY(mr_keep(p, &own->mixed[i], n));
    }
    MR_TRY(mr_scratch(p, &own->change, C));
    MR_TRY(mr_scratch(p, &own->u, old ? C : 0));
    return p->training ? plan_backward(own, p, n) : 0;
}

/* own->change from the parameters, and own->u or where u is. */
static int decays_of(const struct tmix *own, mr_workspace *ws, const mr_tensor **u)
{
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, false);
    *u = ws->cfg->rwkv51 ? &own->u : &own->bonus->value;
    if (ws->cfg->rwkv51)
        return mr_wkv6_heads(ws->rt, &s, &own->decay->value, &own->bonus->value, &own->change, &own->u);
    return mr_wkv6_change(ws->rt, &s, &own->decay->value, NULL, &own->change);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    struct mr_wkv6_core *core = &own->core;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *u, *previous, *share[MR_WKV6_INPUTS], *mixed[MR_WKV6_INPUTS];
    for (int i = 0; i < core->inputs; i++) {
        share[i] = &own->share[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_token_shift_forward(ws->rt, &shift, x, previous, share, mixed));
    if (previous)
        MR_TRY(mr_token_shift_state(ws->rt, &shift, x, previous));
    for (int i = 0; i < core->inputs; i++)
        MR_TRY(mr_linear_run(ws, &core->linear[i], mixed[i], &core->in[i]));
    MR_TRY(decays_of(own, ws, &u));
    return mr_wkv6_core_forward(core, node, ws, false, &own->change, u, y);
}

/* From own->dchange, and own->du of RWKV-5.1, to the parameters */
static int decays_backward(const struct tmix *own, mr_workspace *ws)
{
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, false);
    const struct mr_wkv6_heads_gradients heads = {
        .dchange = &own->dchange, .du = &own->du, .ddecay = mr_grad(ws, own->decay), .dfirst = mr_grad(ws, own->bonus)};
    if (ws->cfg->rwkv51)
        return mr_wkv6_heads_backward(ws->rt, &s, &own->decay->value, &own->bonus->value, &heads);
    MR_TRY(mr_wkv6_change_backward(ws->rt, &s, &own->decay->value, NULL, &own->dchange));
    if (!mr_trained(own->decay))
        return 0;
    return mr_accumulate(ws->rt, &own->dchange, mr_grad(ws, own->decay), (size_t)ws->cfg->n_embd);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct tmix *own = node->own;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *share[MR_WKV6_INPUTS], *dshare[MR_WKV6_INPUTS], *dmixed[MR_WKV6_INPUTS];
    bool old = ws->cfg->rwkv51;
    struct mr_wkv6_decays decays = {
        .change = &own->change, .dchange = &own->dchange, .du = old ? &own->du : mr_grad(ws, own->bonus)};
    MR_TRY(decays_of(own, ws, &decays.u));
    MR_TRY(mr_zero(ws->rt, &own->dchange));
    if (old)
        MR_TRY(mr_zero(ws->rt, &own->du));
    MR_TRY(mr_wkv6_core_backward(&own->core, node, ws, &decays, dy, dx));
    MR_TRY(decays_backward(own, ws));
    for (int i = 0; i < own->core.inputs; i++) {
        MR_TRY(mr_linear_backward(ws, &own->core.linear[i], &own->mixed[i], &own->core.din[i], &own->dmixed[i], false));
        share[i] = &own->share[i]->value;
        dshare[i] = mr_grad(ws, own->share[i]);
        dmixed[i] = &own->dmixed[i];
    }
    return mr_token_shift_backward(ws->rt, &shift, x, share, dmixed, dx, false, dshare, &own->shift_scratch);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct tmix *own = node->own;
    struct mr_wkv6_core *core = &own->core;
    struct mr_product in[MR_WKV6_INPUTS];
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->share, core->inputs, true, false));
    for (int i = 0; i < core->inputs; i++)
        in[i] = mr_linear_product(&core->linear[i], &ws->mixes, (size_t)i * n, &core->in[i]);
    MR_TRY(mr_products(ws->rt, in, core->inputs, ws->rows));
    return mr_wkv6_core_step(core, node, ws,
                             (struct mr_wkv6_step){
                                 .decays = ws->cfg->rwkv51 ? MR_DECAY_HEAD_FIRST : MR_DECAY_CHANNEL,
                                 .decay = &own->decay->value,
                                 .u = &own->bonus->value,
                             },
                             add, y);
}

const struct mr_layer mr_layer_rwkv5_time_mix = {
    .name = "rwkv5_time_mix",
    .own = sizeof(struct tmix),
    .declare = declare,
    .states = mr_wkv6_core_states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
