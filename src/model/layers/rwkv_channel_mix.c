/* SPDX-License-Identifier: GPL-3.0-or-later
 * Channel mix of RWKV-4 to 6: σ(receptance(xr)) · value(relu(key(xk))²); 7 has no receptance. 4 and 5 keep the present
 * row's share as time_mix, 6 that of the row before as time_maa, 7 as x. */
#include <math.h>

#include "model/layers/init.h"
#include "model/workspace.h"
#include "ops/channel_mix.h"
#include "ops/token_shift.h"

struct cmix {
    struct mr_param *share[2]; /* k, r */
    struct mr_linear key, value, receptance;
    mr_tensor mixed[2];          /* xk, xr [R,C] */
    mr_tensor k, squared;        /* [R,F]; squared only where a backward follows, else k takes its place */
    mr_tensor v, r;              /* [R,C] */
    mr_tensor dk;                /* scratch [R,F] */
    mr_tensor dmixed[2], dv, dr; /* scratch [R,C] */
    mr_tensor shift_scratch;
};

static bool keeps(const struct mr_config *cfg)
{
    return mr_family(cfg)->rwkv < 6;
}

/* Mixtures: k, and r where there is a receptance. */
static int mixtures(const struct mr_config *cfg)
{
    return mr_family(cfg)->rwkv < 7 ? 2 : 1;
}

static const char *const *share_names(const struct mr_config *cfg)
{
    static const char *const present[] = {"time_mix_k", "time_mix_r"}, *const before[] = {"time_maa_k", "time_maa_r"};
    static const char *const seven[] = {"x_k"};
    return keeps(cfg) ? present : mixtures(cfg) > 1 ? before : seven;
}

static void mix_of_six(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_before(out, count, pow(mr_init_left(cfg, block), 3));
}

static void mix_of_seven(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_before(out, count, pow(mr_init_left(cfg, block), 4));
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    int C = cfg->n_embd, F = mr_ffn_width(cfg);
    if (mixtures(cfg) == 1) {
        MR_TRY(mr_declare_init(params, prefix, share_names(cfg)[0], mr_shape(1, 1, (size_t)C), block, mix_of_seven));
        MR_TRY(mr_declare_orthogonal(params, prefix, "key", F, C, 1));
        return mr_declare_orthogonal(params, prefix, "value", C, F, 0);
    }
    for (int i = 0; i < mixtures(cfg); i++)
        MR_TRY(mr_declare_init(params, prefix, share_names(cfg)[i], mr_shape(1, 1, (size_t)C), block,
                               keeps(cfg) ? mr_init_present_key : mix_of_six));
    MR_TRY(mr_declare_orthogonal(params, prefix, "key", F, C, sqrt(fmax(1, (double)F / C))));
    MR_TRY(mr_declare_orthogonal(params, prefix, "receptance", C, C, 0));
    return mr_declare_orthogonal(params, prefix, "value", C, F, 0);
}

/* The row before the first. */
static int states(const struct mr_config *cfg, int block, size_t *sizes)
{
    (void)block;
    sizes[0] = (size_t)cfg->n_embd;
    return 1;
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){
        .batch = batch, .time = time, .dim = cfg->n_embd, .count = mixtures(cfg), .keeps = keeps(cfg)};
}

static int plan_backward(struct cmix *own, struct mr_planner *p, size_t n)
{
    const struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    MR_TRY(mr_keep(p, &own->squared, p->rows * (size_t)own->key.out));
    MR_TRY(mr_scratch(p, &own->dk, p->rows * (size_t)own->key.out));
    for (int i = 0; i < shift.count; i++)
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
    if (shift.count > 1) {
        MR_TRY(mr_scratch(p, &own->dv, n));
        MR_TRY(mr_scratch(p, &own->dr, n));
    }
    return mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct cmix *own = node->own;
    size_t rows = p->rows, n = rows * (size_t)p->cfg->n_embd;
    MR_TRY(mr_linear_find(&own->key, p->params, node->prefix, "key"));
    MR_TRY(mr_linear_find(&own->value, p->params, node->prefix, "value"));
    for (int i = 0; i < mixtures(p->cfg); i++) {
        own->share[i] = mr_param_find(p->params, node->prefix, share_names(p->cfg)[i]);
        MR_TRY(mr_keep(p, &own->mixed[i], n));
    }
    MR_TRY(mr_keep(p, &own->k, rows * (size_t)own->key.out));
    if (mixtures(p->cfg) > 1) {
        MR_TRY(mr_linear_find(&own->receptance, p->params, node->prefix, "receptance"));
        MR_TRY(mr_keep(p, &own->v, n));
        MR_TRY(mr_keep(p, &own->r, n));
    }
    return p->training ? plan_backward(own, p, n) : 0;
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct cmix *own = node->own;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *share[2] = {NULL, NULL}, *mixed[] = {&own->mixed[0], &own->mixed[1]};
    const mr_tensor *previous, *squared = ws->training ? &own->squared : &own->k;
    size_t rows = (size_t)ws->rows, n = rows * (size_t)ws->cfg->n_embd;
    for (int i = 0; i < shift.count; i++)
        share[i] = &own->share[i]->value;
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_token_shift_forward(ws->rt, &shift, x, previous, share, mixed));
    if (previous)
        MR_TRY(mr_token_shift_state(ws->rt, &shift, x, previous));
    MR_TRY(mr_linear_run(ws, &own->key, mixed[0], &own->k));
    MR_TRY(mr_squared_relu_forward(ws->rt, &own->k, squared, rows * (size_t)own->key.out));
    if (shift.count == 1) {
        MR_TRY(mr_linear_run(ws, &own->value, squared, y));
    } else {
        MR_TRY(mr_linear_run(ws, &own->value, squared, &own->v));
        MR_TRY(mr_linear_run(ws, &own->receptance, mixed[1], &own->r));
        MR_TRY(mr_sigmoid_gate_forward(ws->rt, &own->r, &own->v, y, n));
    }
    return mr_drop(ws, node->site, y, n);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct cmix *own = node->own;
    mr_runtime *rt = ws->rt;
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *share[2] = {NULL, NULL}, *dshare[2] = {NULL, NULL}, *dmixed[] = {&own->dmixed[0], &own->dmixed[1]};
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    for (int i = 0; i < shift.count; i++) {
        share[i] = &own->share[i]->value;
        dshare[i] = mr_grad(ws, own->share[i]);
    }
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    if (shift.count > 1) {
        MR_TRY(mr_sigmoid_gate_backward(rt, &own->r, &own->v, dy, &own->dr, &own->dv, n));
        MR_TRY(mr_linear_backward(ws, &own->receptance, &own->mixed[1], &own->dr, &own->dmixed[1], false));
        dy = &own->dv;
    }
    MR_TRY(mr_linear_backward(ws, &own->value, &own->squared, dy, &own->dk, false));
    MR_TRY(mr_squared_relu_backward(rt, &own->k, &own->dk, &own->dk, (size_t)ws->rows * (size_t)own->key.out));
    MR_TRY(mr_linear_backward(ws, &own->key, &own->mixed[0], &own->dk, &own->dmixed[0], false));
    return mr_token_shift_backward(rt, &shift, x, share, dmixed, dx, false, dshare, &own->shift_scratch);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct cmix *own = node->own;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    int count = mixtures(ws->cfg);
    MR_TRY(mr_step_shift(node, ws, norm, x, own->share, count, keeps(ws->cfg), false));
    struct mr_product in[2] = {mr_linear_product(&own->key, &ws->mixes, 0, &own->k)};
    in[0].act = MR_ACT_SQUARED_RELU;
    if (count > 1) {
        in[1] = mr_linear_product(&own->receptance, &ws->mixes, n, &own->r);
        in[1].act = MR_ACT_SIGMOID;
    }
    MR_TRY(mr_products(ws->rt, in, count, ws->rows));
    struct mr_product out = mr_linear_product(&own->value, &own->k, 0, y);
    out.gate = count > 1 ? &own->r : NULL;
    out.add = add;
    return mr_products(ws->rt, &out, 1, ws->rows);
}

const struct mr_layer mr_layer_rwkv_channel_mix = {
    .name = "rwkv_channel_mix",
    .own = sizeof(struct cmix),
    .declare = declare,
    .states = states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
