/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-4: output(σ(receptance(xr)) · wkv(key(xk), value(xv))). */
#include <math.h>

#include "model/layers/start.h"
#include "model/pass.h"
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
    mr_tensor previous;      /* state [B,C] */
    mr_tensor state;         /* [B,3,C] */
};

static const char *const share_names[INPUTS] = {"time_mix_k", "time_mix_v", "time_mix_r"};
static const char *const input_names[INPUTS] = {"key", "value", "receptance"};

/* ln 0.3, and half a unit more or less by turns. */
static void start_first(const struct mr_config *cfg, int block, float *out, size_t count)
{
    (void)cfg, (void)block;
    for (size_t c = 0; c < count; c++)
        out[c] = logf(0.3f) + 0.5f * ((float)((c + 1) % 3) - 1);
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    size_t C = (size_t)cfg->n_embd;
    mr_start *const starts[] = {mr_start_present_key, mr_start_present_value, mr_start_present_gate};
    MR_TRY(mr_declare_started(params, prefix, "time_decay", mr_shape(C), block, mr_start_decay));
    MR_TRY(mr_declare_started(params, prefix, "time_first", mr_shape(C), block, start_first));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_declare_started(params, prefix, share_names[i], mr_shape(1, 1, C), block, starts[i]));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_declare(params, prefix, input_names[i], cfg->n_embd, cfg->n_embd, false, 0.02));
    return mr_linear_declare(params, prefix, "output", cfg->n_embd, cfg->n_embd, false,
                             0.02 / sqrt(2.0 * cfg->n_layer));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    size_t C = (size_t)p->cfg->n_embd, n = (size_t)p->batch * (size_t)p->time * C;
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
    if (!p->with_state)
        return mr_scratch(p, &own->state, 3 * (size_t)p->batch * C);
    MR_TRY(mr_state(p, &own->previous, (size_t)p->batch * C));
    return mr_state(p, &own->state, 3 * (size_t)p->batch * C);
}

static int forward(struct mr_node *node, struct mr_pass *pass, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_token_shift shift = {
        .batch = pass->batch, .time = pass->time, .dim = pass->cfg->n_embd, .count = INPUTS, .keeps = true};
    const struct mr_wkv4 s = {pass->batch, pass->time, pass->cfg->n_embd};
    const mr_tensor *previous = pass->options.with_state ? &own->previous : NULL, *share[INPUTS], *mixed[INPUTS];
    for (int i = 0; i < INPUTS; i++) {
        share[i] = &own->share[i]->value;
        mixed[i] = &own->mixed[i];
    }
    MR_TRY(mr_token_shift_forward(pass->rt, &shift, x, previous, share, mixed));
    if (previous)
        MR_TRY(mr_token_shift_state(pass->rt, &shift, x, previous));
    else
        MR_TRY(mr_zero(pass->rt, &own->state));
    for (int i = 0; i < INPUTS; i++)
        MR_TRY(mr_linear_apply(pass, &own->input[i], mixed[i], &own->in[i]));
    MR_TRY(mr_wkv4_forward(pass->rt, &s, &own->in[0], &own->in[1], &own->decay->value, &own->first->value, &own->state,
                           &own->wkv));
    MR_TRY(mr_sigmoid_gate_forward(pass->rt, &own->in[2], &own->wkv, &own->wkv,
                                   (size_t)pass->rows * (size_t)pass->cfg->n_embd));
    return mr_linear_apply(pass, &own->output, &own->wkv, y);
}

const struct mr_layer mr_layer_rwkv4_time_mix = {"rwkv4_time_mix", sizeof(struct tmix), declare, plan, forward, NULL};
