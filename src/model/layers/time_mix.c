/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix x051a: out = output(ln_x(recurrence(r, k, v)) · silu(gate)). */
#include "ops/time_mix.h"

#include <math.h>

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/group_norm.h"
#include "ops/silu_gate.h"
#include "ops/token_shift.h"
#include "ops/wkv6_step.h"

enum { K, V, R, G, INPUTS };

struct tmix {
    struct mr_param *maa[INPUTS], *decay, *faaaa, *ln_weight, *ln_bias;
    struct mr_linear linear[INPUTS], output;
    mr_tensor mixed[INPUTS];                                     /* xk, xv, xr, xg [R,C] */
    mr_tensor out[INPUTS];                                       /* k, v, r, gate before silu [R,C] */
    mr_tensor y, normed, gated;                                  /* [R,C] */
    mr_tensor mean, rstd;                                        /* [R,H] */
    mr_tensor kept, scratch;                                     /* the recurrence's own */
    mr_tensor dmixed[INPUTS], dout[INPUTS], dy, dnormed, dgated; /* scratch [R,C] */
    mr_tensor shift_scratch, norm_scratch;
};

static const char *const maa_names[] = {"time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"};
static const char *const linear_names[] = {"key", "value", "receptance", "gate"};

/* ---- parameters ------------------------------------------------------------------------------------------- */

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    int C = cfg->n_embd;
    mr_init_values *const inits[] = {mr_init_before_key, mr_init_before_value, mr_init_before_gate,
                                     mr_init_before_gate};
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_declare_init(params, prefix, maa_names[i], mr_shape(1, 1, (size_t)C), block, inits[i]));
    MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape((size_t)cfg->n_head, 1), block, mr_init_decay));
    MR_TRY(mr_declare_init(params, prefix, "time_faaaa", mr_shape((size_t)cfg->n_head, 1), block, mr_init_bonus));
    const char *order[] = {"receptance", "key", "value", "gate"};
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_declare(params, prefix, order[i], C, C, cfg->bias, 0.02));
    MR_TRY(mr_linear_declare(params, prefix, "output", C, C, cfg->bias, 0.02 / sqrt(2.0 * cfg->n_layer)));
    struct mr_param *weight = mr_declare(params, prefix, "ln_x.weight", mr_shape((size_t)C));
    if (!weight || !mr_declare(params, prefix, "ln_x.bias", mr_shape((size_t)C)))
        return params->error;
    weight->fill = 1;
    return 0;
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

/* The row before the first [C], and [H,N,N]. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = (size_t)cfg->n_embd * (size_t)(cfg->n_embd / cfg->n_head);
    return 2;
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){.batch = batch, .time = time, .dim = cfg->n_embd, .count = INPUTS};
}

static struct mr_time_mix recurrence_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_time_mix){.batch = batch, .time = time, .heads = cfg->n_head, .width = cfg->n_embd / cfg->n_head};
}

static int find_parameters(struct tmix *own, const struct mr_params *params, const char *prefix)
{
    for (int i = 0; i < INPUTS; i++) {
        own->maa[i] = mr_param_find(params, prefix, maa_names[i]);
        MR_TRY(mr_linear_find(&own->linear[i], params, prefix, linear_names[i]));
    }
    own->decay = mr_param_find(params, prefix, "time_decay");
    own->faaaa = mr_param_find(params, prefix, "time_faaaa");
    own->ln_weight = mr_param_find(params, prefix, "ln_x.weight");
    own->ln_bias = mr_param_find(params, prefix, "ln_x.bias");
    return mr_linear_find(&own->output, params, prefix, "output");
}

static int plan_backward(struct tmix *own, struct mr_planner *p, size_t n)
{
    for (int i = 0; i < INPUTS; i++) {
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
        MR_TRY(mr_scratch(p, &own->dout[i], n));
    }
    MR_TRY(mr_scratch(p, &own->dy, n));
    MR_TRY(mr_scratch(p, &own->dnormed, n));
    MR_TRY(mr_scratch(p, &own->dgated, n));
    struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    MR_TRY(mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift)));
    return mr_scratch(
        p, &own->norm_scratch,
        mr_group_norm_backward_scratch(p->rt, p->batch * p->time, p->cfg->n_head, p->cfg->n_embd / p->cfg->n_head));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    size_t C = (size_t)p->cfg->n_embd, H = (size_t)p->cfg->n_head, rows = p->rows, n = rows * C;
    struct mr_time_mix recurrence = recurrence_of(p->batch, p->time, p->cfg);
    MR_TRY(find_parameters(own, p->params, node->prefix));
    for (int i = 0; i < INPUTS; i++) {
        MR_TRY(mr_keep(p, &own->mixed[i], n));
        MR_TRY(mr_keep(p, &own->out[i], n));
    }
    MR_TRY(mr_keep(p, &own->y, n));
    MR_TRY(mr_keep(p, &own->normed, n));
    MR_TRY(mr_keep(p, &own->gated, n));
    MR_TRY(mr_keep(p, &own->mean, rows * H));
    MR_TRY(mr_keep(p, &own->rstd, rows * H));
    size_t kept = mr_time_mix_kept(p->rt, &recurrence);
    if (kept)
        MR_TRY(mr_keep(p, &own->kept, kept));
    MR_TRY(mr_scratch(p, &own->scratch, mr_time_mix_scratch(p->rt, &recurrence, p->training)));
    return p->training ? plan_backward(own, p, n) : 0;
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    mr_runtime *rt = ws->rt;
    const struct mr_config *cfg = ws->cfg;
    struct mr_token_shift shift = shift_of(ws->batch, ws->time, cfg);
    struct mr_time_mix recurrence = recurrence_of(ws->batch, ws->time, cfg);
    const mr_tensor *maa[INPUTS], *mixed[INPUTS];
    const mr_tensor *previous, *state;
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    for (int i = 0; i < INPUTS; i++) {
        maa[i] = &own->maa[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_state_of(ws, node, 1, &state));
    MR_TRY(mr_token_shift_forward(rt, &shift, x, previous, maa, mixed));
    if (previous)
        MR_TRY(mr_token_shift_state(rt, &shift, x, previous));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_run(ws, &own->linear[i], mixed[i], &own->out[i]));
    MR_TRY(mr_time_mix_forward(rt, &recurrence, &own->out[R], &own->out[K], &own->out[V], &own->decay->value,
                               &own->faaaa->value, state, &own->y, &own->kept, &own->scratch));
    MR_TRY(mr_group_norm_forward(rt, &own->y, &own->ln_weight->value, &own->ln_bias->value, &own->normed, &own->mean,
                                 &own->rstd, ws->rows, cfg->n_head, cfg->n_embd / cfg->n_head, (float)cfg->ln_x_eps));
    MR_TRY(mr_silu_gate_forward(rt, &own->normed, &own->out[G], &own->gated, n));
    MR_TRY(mr_linear_run(ws, &own->output, &own->gated, y));
    return mr_drop(ws, node->site, y, n);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct tmix *own = node->own;
    mr_runtime *rt = ws->rt;
    const struct mr_config *cfg = ws->cfg;
    struct mr_token_shift shift = shift_of(ws->batch, ws->time, cfg);
    struct mr_time_mix recurrence = recurrence_of(ws->batch, ws->time, cfg);
    const mr_tensor *maa[INPUTS], *dmaa[INPUTS], *dmixed[INPUTS];
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    MR_TRY(mr_linear_backward(ws, &own->output, &own->gated, dy, &own->dgated, false));
    MR_TRY(mr_silu_gate_backward(rt, &own->normed, &own->out[G], &own->dgated, &own->dnormed, &own->dout[G], n));
    const struct mr_group_norm_gradients normed = {.dy = &own->dnormed,
                                                   .dx = &own->dy,
                                                   .dweight = mr_grad(ws, own->ln_weight),
                                                   .dbias = mr_grad(ws, own->ln_bias)};
    const struct mr_time_mix_gradients recurrent = {.dy = &own->dy,
                                                    .dr = &own->dout[R],
                                                    .dk = &own->dout[K],
                                                    .dv = &own->dout[V],
                                                    .ddecay = mr_grad(ws, own->decay),
                                                    .dfaaaa = mr_grad(ws, own->faaaa)};
    MR_TRY(mr_group_norm_backward(rt, &own->y, &own->ln_weight->value, &own->mean, &own->rstd, &normed,
                                  &own->norm_scratch, ws->rows, cfg->n_head, cfg->n_embd / cfg->n_head));
    MR_TRY(mr_time_mix_backward(rt, &recurrence, &own->out[R], &own->out[K], &own->out[V], &own->decay->value,
                                &own->faaaa->value, &own->kept, &recurrent, &own->scratch));
    for (int i = 0; i < INPUTS; i++) {
        MR_TRY(mr_linear_backward(ws, &own->linear[i], &own->mixed[i], &own->dout[i], &own->dmixed[i], false));
        maa[i] = &own->maa[i]->value;
        dmaa[i] = mr_grad(ws, own->maa[i]);
        dmixed[i] = &own->dmixed[i];
    }
    return mr_token_shift_backward(rt, &shift, x, maa, dmixed, dx, false, dmaa, &own->shift_scratch);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_config *cfg = ws->cfg;
    struct mr_product in[INPUTS];
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    MR_TRY(mr_step_shift(node, ws, norm, x, own->maa, INPUTS, false, false));
    for (int i = 0; i < INPUTS; i++)
        in[i] = mr_linear_product(&own->linear[i], &ws->mixes, (size_t)i * n, &own->out[i]);
    MR_TRY(mr_products(ws->rt, in, INPUTS, ws->rows));
    const struct mr_wkv6_step s = {.rows = ws->rows,
                                   .heads = cfg->n_head,
                                   .width = cfg->n_embd / cfg->n_head,
                                   .decays = MR_DECAY_HEAD,
                                   .slots = mr_slots_of(ws, node, 1),
                                   .r = &own->out[R],
                                   .k = &own->out[K],
                                   .v = &own->out[V],
                                   .gate = &own->out[G],
                                   .decay = &own->decay->value,
                                   .u = &own->faaaa->value,
                                   .weight = &own->ln_weight->value,
                                   .bias = &own->ln_bias->value,
                                   .eps = (float)cfg->ln_x_eps};
    MR_TRY(mr_wkv6_step(ws->rt, &s, &own->gated));
    struct mr_product out = mr_linear_product(&own->output, &own->gated, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

static bool steps(const struct mr_config *cfg)
{
    return cfg->n_embd / cfg->n_head <= MR_WKV6_STEP_WIDTH;
}

const struct mr_layer mr_layer_time_mix_x051a = {
    .name = "time_mix_x051a",
    .own = sizeof(struct tmix),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .steps = steps,
    .backward = backward,
};
