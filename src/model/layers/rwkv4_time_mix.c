/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-4: output(σ(receptance(xr)) · wkv(key(xk), value(xv))). */
#include <math.h>

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/channel_mix.h"
#include "ops/token_shift.h"
#include "ops/wkv4.h"

enum { INPUTS = 3 }; /* k, v, r */

struct tmix {
    struct mr_param *share[INPUTS], *decay, *first;
    struct mr_linear input[INPUTS], output;
    mr_tensor mixed[INPUTS]; /* xk, xv, xr [R,C] */
    mr_tensor in[INPUTS];    /* k, v, r [R,C] */
    mr_tensor wkv;           /* [R,C] */
    mr_tensor zero;          /* scratch [B,3,C]: the state of pieces without slots */
};

static const char *const share_names[INPUTS] = {"time_mix_k", "time_mix_v", "time_mix_r"};
static const char *const input_names[INPUTS] = {"key", "value", "receptance"};

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
    MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape(C), block, mr_init_decay));
    MR_TRY(mr_declare_init(params, prefix, "time_first", mr_shape(C), block, init_first));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_declare_init(params, prefix, share_names[i], mr_shape(1, 1, C), block, inits[i]));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_declare(params, prefix, input_names[i], cfg->n_embd, cfg->n_embd, false, 0.02));
    return mr_linear_declare(params, prefix, "output", cfg->n_embd, cfg->n_embd, false,
                             0.02 / sqrt(2.0 * cfg->n_layer));
}

/* The row before the first [C], and [3,C]. */
static int states(const struct mr_config *cfg, size_t *sizes)
{
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = 3 * (size_t)cfg->n_embd;
    return 2;
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
        MR_TRY(mr_scratch(p, &own->mixed[i], n));
        MR_TRY(mr_scratch(p, &own->in[i], n));
    }
    MR_TRY(mr_linear_find(&own->output, p->params, node->prefix, "output"));
    MR_TRY(mr_scratch(p, &own->wkv, n));
    return mr_scratch(p, &own->zero, 3 * (size_t)p->batch * C);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_token_shift shift = {
        .batch = ws->batch, .time = ws->time, .dim = ws->cfg->n_embd, .count = INPUTS, .keeps = true};
    const struct mr_wkv4 s = {ws->batch, ws->time, ws->cfg->n_embd};
    const mr_tensor *previous, *state, *share[INPUTS], *mixed[INPUTS];
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
    MR_TRY(mr_wkv4_forward(ws->rt, &s, &own->in[0], &own->in[1], &own->decay->value, &own->first->value, state,
                           &own->wkv));
    MR_TRY(
        mr_sigmoid_gate_forward(ws->rt, &own->in[2], &own->wkv, &own->wkv, (size_t)ws->rows * (size_t)ws->cfg->n_embd));
    return mr_linear_run(ws, &own->output, &own->wkv, y);
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
                                   .k = &own->in[0],
                                   .v = &own->in[1],
                                   .r = &own->in[2],
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
};
