/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/layers/wkv6.h"

#include <math.h>
#include <stdio.h>

#include "model/lora.h"
#include "model/workspace.h"
#include "ops/group_norm.h"
#include "ops/linear.h"
#include "ops/silu_gate.h"
#include "ops/wkv6_backward.h"
#include "rt/gemm.h"

static const char *const names[MR_WKV6_INPUTS] = {"receptance", "key", "value", "gate"};

static int inputs(bool gate)
{
    return gate ? MR_WKV6_INPUTS : MR_WKV6_INPUTS - 1;
}

void mr_wkv6_init_bonus(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_bonus(cfg, block, out, count);
    for (size_t c = 0; c < count; c++)
        out[c] += 0.1f * ((float)((c + 1) % 3) - 1);
}

int mr_wkv6_core_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block,
                         bool gate)
{
    static const double gains[MR_WKV6_INPUTS] = {1, 0.1, 1, 0.1};
    int C = cfg->n_embd;
    if (cfg->head_size > MR_WKV6_WIDTH)
        return mr_fail(MR_EINVAL, "head_size %d is more than %d, the largest supported for %s", cfg->head_size,
                       MR_WKV6_WIDTH, mr_family_name(cfg->family));
    for (int i = 0; i < inputs(gate); i++)
        MR_TRY(mr_declare_orthogonal(params, prefix, names[i], C, C, gains[i]));
    MR_TRY(mr_declare_orthogonal(params, prefix, "output", C, C, 0));
    char norm[MR_NAME];
    snprintf(norm, sizeof norm, "%sln_x.", prefix);
    MR_TRY(mr_norm_declare(params, norm, C, true));
    mr_param_find(params, norm, "weight")->fill = pow((1.0 + block) / cfg->n_layer, 0.7);
    return 0;
}

static int plan_backward(struct mr_wkv6_core *core, struct mr_planner *p, const struct mr_wkv6 *s)
{
    size_t n = p->rows * (size_t)p->cfg->n_embd;
    for (int i = 0; i < core->inputs; i++)
        MR_TRY(mr_scratch(p, &core->din[i], n));
    if (core->inputs > MR_WKV6_G)
        MR_TRY(mr_keep(p, &core->gated, n));
    MR_TRY(mr_keep(p, &core->kept, mr_wkv6_kept(s)));
    MR_TRY(mr_scratch(p, &core->dy, n));
    MR_TRY(mr_scratch(p, &core->dnormed, n));
    MR_TRY(mr_scratch(p, &core->dgated, n));
    MR_TRY(mr_scratch(p, &core->dstate, (size_t)s->batch * (size_t)p->cfg->n_embd * (size_t)s->width));
    MR_TRY(mr_scratch(p, &core->ends, mr_wkv6_kept(s)));
    MR_TRY(mr_scratch(p, &core->recurrence_scratch, mr_wkv6_backward_scratch(s)));
    return mr_scratch(p, &core->norm_scratch,
                      mr_group_norm_backward_scratch(p->rt, s->batch * s->time, s->heads, s->width));
}

/* Whether adapters or the products of other formats want rows that begin where their tensor begins. */
static bool apart(const struct mr_linear *linear)
{
    return linear->weight->lora.a || mr_is_weights(linear->weight->format);
}

int mr_wkv6_core_plan(struct mr_wkv6_core *core, struct mr_planner *p, const char *prefix, bool gate, bool varies)
{
    const struct mr_wkv6 s = {p->batch, p->time, mr_head_count(p->cfg), p->cfg->head_size, varies};
    size_t B = (size_t)p->batch, C = (size_t)p->cfg->n_embd, H = (size_t)mr_head_count(p->cfg), rows = p->rows;
    size_t state = B * C * (C / H);
    bool adapted = false;
    core->inputs = inputs(gate);
    for (int i = 0; i < core->inputs; i++) {
        MR_TRY(mr_linear_find(&core->linear[i], p->params, prefix, names[i]));
        MR_TRY(mr_keep(p, &core->in[i], rows * C));
        adapted = adapted || apart(&core->linear[i]);
    }
    MR_TRY(mr_scratch(p, &core->slice, adapted && varies ? rows * C : 0));
    MR_TRY(mr_scratch(p, &core->dslice, adapted && varies && p->training ? rows * C : 0));
    MR_TRY(mr_linear_find(&core->output, p->params, prefix, "output"));
    core->ln_weight = mr_param_find(p->params, prefix, "ln_x.weight");
    core->ln_bias = mr_param_find(p->params, prefix, "ln_x.bias");
    MR_TRY(mr_keep(p, &core->y, rows * C));
    MR_TRY(mr_keep(p, &core->normed, rows * C));
    MR_TRY(mr_keep(p, &core->mean, rows * H));
    MR_TRY(mr_keep(p, &core->rstd, rows * H));
    MR_TRY(mr_scratch(p, &core->zero, state));
    return p->training ? plan_backward(core, p, &s) : 0;
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
    size_t n = (size_t)ws->rows * (size_t)linear->in;
    struct mr_gemm g = {.m = ws->rows, .n = linear->out, .k = linear->in, .trans_b = true, .offset_a = offset};
    MR_TRY(mr_gemm(ws->rt, &g, x, &linear->weight->value, &core->in[i]));
    if (!linear->weight->lora.a)
        return 0;
    MR_TRY(mr_copy(ws->rt, x, offset, &core->slice, 0, n));
    return mr_lora_forward(ws, linear->weight, &core->slice, &core->in[i]);
}

int mr_wkv6_core_forward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, bool varies,
                         const mr_tensor *change, const mr_tensor *u, const mr_tensor *y)
{
    const struct mr_config *cfg = ws->cfg;
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, varies);
    const mr_tensor *in = core->in, *normed = &core->normed, *gated = normed, *state;
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    MR_TRY(mr_state_of(ws, node, 1, &state));
    if (!state)
        MR_TRY(mr_zero(ws->rt, state = &core->zero));
    MR_TRY(mr_wkv6_forward(ws->rt, &s, &in[MR_WKV6_R], &in[MR_WKV6_K], &in[MR_WKV6_V], change, u, state, &core->y,
                           ws->training ? &core->kept : NULL));
    MR_TRY(mr_group_norm_forward(ws->rt, &core->y, &core->ln_weight->value, &core->ln_bias->value, normed, &core->mean,
                                 &core->rstd, ws->rows, s.heads, s.width, (float)cfg->ln_x_eps));
    if (core->inputs > MR_WKV6_G) {
        gated = ws->training ? &core->gated : normed;
        MR_TRY(mr_silu_gate_forward(ws->rt, normed, &in[MR_WKV6_G], gated, n));
    }
    MR_TRY(mr_linear_run(ws, &core->output, gated, y));
    return mr_drop(ws, node->site, y, n);
}

int mr_wkv6_core_backward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws,
                          const struct mr_wkv6_decays *decays, const mr_tensor *dy, const mr_tensor *room)
{
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, decays->varies);
    bool gate = core->inputs > MR_WKV6_G;
    mr_tensor *in = core->in, *din = core->din;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    const struct mr_group_norm_gradients normed = {.dy = gate ? &core->dnormed : &core->dgated,
                                                   .dx = &core->dy,
                                                   .dweight = mr_grad(ws, core->ln_weight),
                                                   .dbias = mr_grad(ws, core->ln_bias)};
    const struct mr_wkv6_recurrence x = {.r = &in[MR_WKV6_R],
                                         .k = &in[MR_WKV6_K],
                                         .v = &in[MR_WKV6_V],
                                         .change = decays->change,
                                         .u = decays->u,
                                         .kept = &core->kept};
    const struct mr_wkv6_gradients g = {.dy = &core->dy,
                                        .dr = &din[MR_WKV6_R],
                                        .dk = &din[MR_WKV6_K],
                                        .dv = &din[MR_WKV6_V],
                                        .dchange = decays->dchange,
                                        .du = decays->du,
                                        .dstate = &core->dstate};
    MR_TRY(mr_drop_backward(ws, node->site, &dy, room, n));
    MR_TRY(mr_linear_backward(ws, &core->output, gate ? &core->gated : &core->normed, dy, &core->dgated, false));
    if (gate)
        MR_TRY(mr_silu_gate_backward(ws->rt, &core->normed, &in[MR_WKV6_G], &core->dgated, &core->dnormed,
                                     &din[MR_WKV6_G], n));
    MR_TRY(mr_group_norm_backward(ws->rt, &core->y, &core->ln_weight->value, &core->mean, &core->rstd, &normed,
                                  &core->norm_scratch, ws->rows, s.heads, s.width));
    MR_TRY(mr_zero(ws->rt, &core->dstate));
    return mr_wkv6_backward(ws->rt, &s, &x, &g, &core->ends, &core->recurrence_scratch);
}

int mr_wkv6_core_input_backward(struct mr_wkv6_core *core, mr_workspace *ws, int i, const mr_tensor *x,
                                const mr_tensor *dx, size_t offset)
{
    const struct mr_linear *linear = &core->linear[i];
    const mr_tensor *dy = &core->din[i];
    size_t n = (size_t)ws->rows * (size_t)linear->in;
    const struct mr_gemm input = {.m = ws->rows, .n = linear->in, .k = linear->out, .offset_c = offset};
    const struct mr_gemm weight = {
        .m = linear->out, .n = linear->in, .k = ws->rows, .trans_a = true, .beta = 1, .offset_b = offset};
    if (mr_trained(linear->weight))
        MR_TRY(mr_gemm(ws->rt, &weight, dy, x, mr_grad(ws, linear->weight)));
    if (!apart(linear))
        return mr_gemm(ws->rt, &input, dy, &linear->weight->value, dx);
    MR_TRY(mr_linear_backward_input(ws->rt, dy, &linear->weight->value, &core->dslice, ws->rows, linear->in,
                                    linear->out, false));
    if (linear->weight->lora.a) {
        MR_TRY(mr_copy(ws->rt, x, offset, &core->slice, 0, n));
        MR_TRY(mr_lora_backward(ws, linear->weight, &core->slice, dy, &core->dslice));
    }
    return mr_copy(ws->rt, &core->dslice, 0, dx, offset, n);
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
