/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/layers/wkv6.h"

#include <math.h>
#include <stdio.h>

#include "model/workspace.h"
#include "ops/group_norm.h"
#include "ops/silu_gate.h"
#include "rt/gemm.h"

static const char *const names[MR_WKV6_INPUTS] = {"receptance", "key", "value", "gate"};

static int inputs(bool gate)
{
    return gate ? MR_WKV6_INPUTS : MR_WKV6_INPUTS - 1;
}

int mr_wkv6_core_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, bool gate)
{
    int C = cfg->n_embd;
    if (cfg->head_size > MR_WKV6_WIDTH)
        return mr_fail(MR_EINVAL, "head_size %d is more than %d, the largest supported for %s", cfg->head_size,
                       MR_WKV6_WIDTH, mr_family_name(cfg->family));
    for (int i = 0; i < inputs(gate); i++)
        MR_TRY(mr_linear_declare(params, prefix, names[i], C, C, false, 0.02));
    MR_TRY(mr_linear_declare(params, prefix, "output", C, C, false, 0.02 / sqrt(2.0 * cfg->n_layer)));
    char norm[MR_NAME];
    snprintf(norm, sizeof norm, "%sln_x.", prefix);
    return mr_norm_declare(params, norm, C, true);
}

int mr_wkv6_core_plan(struct mr_wkv6_core *core, struct mr_planner *p, const char *prefix, bool gate)
{
    size_t B = (size_t)p->batch, C = (size_t)p->cfg->n_embd, H = (size_t)mr_head_count(p->cfg), rows = p->rows;
    size_t state = B * C * (C / H);
    core->inputs = inputs(gate);
    for (int i = 0; i < core->inputs; i++) {
        MR_TRY(mr_linear_find(&core->linear[i], p->params, prefix, names[i]));
        MR_TRY(mr_scratch(p, &core->in[i], rows * C));
    }
    MR_TRY(mr_linear_find(&core->output, p->params, prefix, "output"));
    core->ln_weight = mr_param_find(p->params, prefix, "ln_x.weight");
    core->ln_bias = mr_param_find(p->params, prefix, "ln_x.bias");
    MR_TRY(mr_scratch(p, &core->y, rows * C));
    MR_TRY(mr_scratch(p, &core->normed, rows * C));
    MR_TRY(mr_scratch(p, &core->mean, rows * H));
    MR_TRY(mr_scratch(p, &core->rstd, rows * H));
    return mr_scratch(p, &core->zero, state);
}

struct mr_wkv6 mr_wkv6_core_shape(const mr_workspace *ws, bool varies)
{
    const struct mr_config *cfg = ws->cfg;
    return (struct mr_wkv6){ws->batch, ws->time, mr_head_count(cfg), cfg->head_size, varies};
}

int mr_wkv6_core_states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    sizes[1] = (size_t)cfg->n_embd * (size_t)cfg->head_size;
    return 2;
}

int mr_wkv6_core_input(struct mr_wkv6_core *core, mr_workspace *ws, int i, const mr_tensor *x, size_t offset)
{
    const struct mr_linear *linear = &core->linear[i];
    struct mr_gemm g = {.m = ws->rows, .n = linear->out, .k = linear->in, .trans_b = true, .offset_a = offset};
    return mr_gemm(ws->rt, &g, x, &linear->weight->value, &core->in[i]);
}

int mr_wkv6_core_forward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, bool varies,
                         const mr_tensor *change, const mr_tensor *u, const mr_tensor *y)
{
    const struct mr_config *cfg = ws->cfg;
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, varies);
    const mr_tensor *in = core->in, *normed = &core->normed, *state;
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    MR_TRY(mr_state_of(ws, node, 1, &state));
    if (!state)
        MR_TRY(mr_zero(ws->rt, state = &core->zero));
    MR_TRY(mr_wkv6_forward(ws->rt, &s, &in[MR_WKV6_R], &in[MR_WKV6_K], &in[MR_WKV6_V], change, u, state, &core->y));
    MR_TRY(mr_group_norm_forward(ws->rt, &core->y, &core->ln_weight->value, &core->ln_bias->value, normed, &core->mean,
                                 &core->rstd, ws->rows, s.heads, s.width, (float)cfg->ln_x_eps));
    if (core->inputs > MR_WKV6_G)
        MR_TRY(mr_silu_gate_forward(ws->rt, normed, &in[MR_WKV6_G], normed, n));
    return mr_linear_run(ws, &core->output, normed, y);
}

int mr_wkv6_core_step(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, struct mr_wkv6_step s,
                      const mr_tensor *add, const mr_tensor *y)
{
    const struct mr_config *cfg = ws->cfg;
    s.rows = ws->rows;
    s.heads = mr_head_count(cfg);
    s.width = cfg->head_size;
    s.slots = mr_slots_of(ws, node, 1);
    s.r = &core->in[MR_WKV6_R];
    s.k = &core->in[MR_WKV6_K];
    s.v = &core->in[MR_WKV6_V];
    s.gate = core->inputs > MR_WKV6_G ? &core->in[MR_WKV6_G] : NULL;
    s.weight = &core->ln_weight->value;
    s.bias = &core->ln_bias->value;
    s.eps = (float)cfg->ln_x_eps;
    MR_TRY(mr_wkv6_step(ws->rt, &s, &core->normed));
    struct mr_product out = mr_linear_product(&core->output, &core->normed, 0, y);
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}
