/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-4: output(σ(receptance(xr)) · wkv(key(xk), value(xv))). */
#include <math.h>

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/channel_mix.h"
#include "ops/token_shift.h"
#include "ops/wkv4.h"

enum { K, V, R, INPUTS };

struct tmix {
    struct mr_param *share[INPUTS], *decay, *first;
    struct mr_linear input[INPUTS], output;
    mr_tensor mixed[INPUTS]; /* xk, xv, xr [R,C] */
    mr_tensor in[INPUTS];    /* k, v, r [R,C] */
    mr_tensor wkv;           /* [R,C] */
    mr_tensor gated;         /* [R,C], where a backward follows; else wkv */
    mr_tensor zero;          /* scratch [B,3,C]: the state of pieces without slots */
    /* Scratch of backward, [R,C]; dstate [B,2,C] */
    mr_tensor dmixed[INPUTS], din[INPUTS], dgated, dwkv, dstate, recurrence_scratch, shift_scratch;
};

static const char *const share_names[INPUTS] = {"time_mix_k", "time_mix_v", "time_mix_r"};
static const char *const input_names[INPUTS] = {"key", "value", "receptance"};

/* -5 + 8 (c/(C-1))^(0.7 + 1.3 done) */
static void init_decay(const struct mr_config *cfg, int block, float *out, size_t count)
{
    for (size_t c = 0; c < count; c++) {
        double along = count > 1 ? (double)c / (double)(count - 1) : 0;
        out[c] = (float)(-5 + 8 * pow(along, 0.7 + 1.3 * mr_init_done(cfg, block)));
    }
}

/* ln 0.3, and half a unit more or less by turns. */
static void init_first(const struct mr_config *cfg, int block, float *out, size_t count)
{
    (void)cfg, (void)block;
    for (size_t c = 0; c < count; c++)
        out[c] = logf(0.3f) + 0.5f * ((float)((c + 1) % 3) - 1);
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    size_t C = (size_t)cfg->n_embd;
    mr_init_values *const inits[] = {mr_init_present_key, mr_init_present_value, mr_init_present_gate};
    MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape(C), block, init_decay));
    MR_TRY(mr_declare_init(params, prefix, "time_first", mr_shape(C), block, init_first));
    mr_param_find(params, prefix, "time_decay")->rate = 2;
    mr_param_find(params, prefix, "time_first")->rate = 3;
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_declare_init(params, prefix, share_names[i], mr_shape(1, 1, C), block, inits[i]));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_declare_orthogonal(params, prefix, input_names[i], cfg->n_embd, cfg->n_embd, i == V));
    return mr_declare_orthogonal(params, prefix, "output", cfg->n_embd, cfg->n_embd, 0);
}

/* The row before the first [C], and [3,C]. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = 3 * (size_t)cfg->n_embd;
    return 2;
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){.batch = batch, .time = time, .dim = cfg->n_embd, .count = INPUTS, .keeps = true};
}

static int plan_backward(struct tmix *own, struct mr_planner *p, size_t n)
{
    const struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    const struct mr_wkv4 s = {p->batch, p->time, p->cfg->n_embd};
    for (int i = 0; i < INPUTS; i++) {
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
        MR_TRY(mr_scratch(p, &own->din[i], n));
    }
    MR_TRY(mr_keep(p, &own->gated, n));
    MR_TRY(mr_scratch(p, &own->dgated, n));
    MR_TRY(mr_scratch(p, &own->dwkv, n));
    MR_TRY(mr_scratch(p, &own->dstate, 2 * (size_t)s.batch * (size_t)s.dim));
    MR_TRY(mr_scratch(p, &own->recurrence_scratch, mr_wkv4_backward_scratch(&s)));
    return mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    size_t C = (size_t)p->cfg->n_embd, n = p->rows * C;
    own->decay = mr_param_find(p->params, node->prefix, "time_decay");
    own->first = mr_param_find(p->params, node->prefix, "time_first");
    for (int i = 0; i < INPUTS; i++) {
        own->share[i] = mr_param_find(p->params, node->prefix, share_names[i]);
        MR_TRY(mr_linear_find(&own->input[i], p->params, node->prefix, input_names[i]));
        MR_TRY(mr_keep(p, &own->mixed[i], n));
        MR_TRY(mr_keep(p, &own->in[i], n));
    }
    MR_TRY(mr_linear_find(&own->output, p->params, node->prefix, "output"));
    MR_TRY(mr_keep(p, &own->wkv, n));
    MR_TRY(mr_scratch(p, &own->zero, 3 * (size_t)p->batch * C));
    return p->training ? plan_backward(own, p, n) : 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const struct mr_wkv4 s = {ws->batch, ws->time, ws->cfg->n_embd};
    const mr_tensor *previous, *state, *share[INPUTS], *mixed[INPUTS], *gated = ws->training ? &own->gated : &own->wkv;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    for (int i = 0; i < INPUTS; i++) {
        share[i] = &own->share[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_state_of(ws, node, 1, &state));
    MR_TRY(mr_token_shift_forward(ws->rt, &shift, x, previous, share, mixed));
    if (previous)
        MR_TRY(mr_token_shift_state(ws->rt, &shift, x, previous));
    else
        MR_TRY(mr_zero(ws->rt, state = &own->zero));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_run(ws, &own->input[i], mixed[i], &own->in[i]));
    MR_TRY(mr_wkv4_forward(ws->rt, &s, &own->in[K], &own->in[V], &own->decay->value, &own->first->value, state,
                           &own->wkv));
    MR_TRY(mr_sigmoid_gate_forward(ws->rt, &own->in[R], &own->wkv, gated, n));
    MR_TRY(mr_linear_run(ws, &own->output, gated, y));
    return mr_drop(ws, node->site, y, n);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct tmix *own = node->own;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const struct mr_wkv4 s = {ws->batch, ws->time, ws->cfg->n_embd};
    const struct mr_wkv4_inputs in = {.k = &own->in[K],
                                      .v = &own->in[V],
                                      .decay = &own->decay->value,
                                      .first = &own->first->value,
                                      .state = &own->zero,
                                      .y = &own->wkv};
    const struct mr_wkv4_gradients g = {.dy = &own->dwkv,
                                        .dk = &own->din[K],
                                        .dv = &own->din[V],
                                        .ddecay = mr_grad(ws, own->decay),
                                        .dfirst = mr_grad(ws, own->first),
                                        .dstate = &own->dstate};
    const mr_tensor *share[INPUTS], *dshare[INPUTS], *dmixed[INPUTS];
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    MR_TRY(mr_linear_backward(ws, &own->output, &own->gated, dy, &own->dgated, false));
    MR_TRY(mr_sigmoid_gate_backward(ws->rt, &own->in[R], &own->wkv, &own->dgated, &own->din[R], &own->dwkv, n));
    MR_TRY(mr_zero(ws->rt, &own->zero)); /* as it was before forward */
    MR_TRY(mr_wkv4_backward(ws->rt, &s, &in, &g, &own->recurrence_scratch));
    for (int i = 0; i < INPUTS; i++) {
        MR_TRY(mr_linear_backward(ws, &own->input[i], &own->mixed[i], &own->din[i], &own->dmixed[i], false));
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
    struct mr_product in[INPUTS];
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->share, INPUTS, true, false));
    for (int i = 0; i < INPUTS; i++)
        in[i] = mr_linear_product(&own->input[i], &ws->mixes, (size_t)i * n, &own->in[i]);
    MR_TRY(mr_products(ws->rt, in, INPUTS, ws->rows));
    const struct mr_wkv4_step s = {.rows = ws->rows,
                                   .dim = ws->cfg->n_embd,
                                   .slots = mr_slots_of(ws, node, 1),
                                   .k = &own->in[K],
                                   .v = &own->in[V],
                                   .r = &own->in[R],
                                   .decay = &own->decay->value,
                                   .first = &own->first->value};
    MR_TRY(mr_wkv4_step(ws->rt, &s, &own->wkv));
    struct mr_product out = mr_linear_product(&own->output, &own->wkv, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_rwkv4_time_mix = {
    .name = "rwkv4_time_mix",
    .own = sizeof(struct tmix),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
