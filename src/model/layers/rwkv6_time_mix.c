/* SPDX-License-Identifier: GPL-3.0-or-later
 * Time mix of RWKV-6: the token shift's mixtures and the decay depend on the data, through low-rank pairs. D is the
 * width of a mixture's pair, E that of the decay's. */
#include "model/layers/low_rank.h"
#include "model/layers/wkv6.h"
#include "model/workspace.h"
#include "ops/dynamic_shift.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/token_shift.h"
#include "ops/wkv6_backward.h"
#include "rt/gemm.h"

/* The order of the five mixtures in the files. */
enum { W, K, V, R, G, MIXTURES };

struct tmix {
    struct mr_wkv6_core core;
    struct mr_param *maa_x, *maa[MIXTURES];
    struct mr_param *maa_w1, *maa_w2; /* (C,5D), (5,D,C) */
    struct mr_param *decay, *faaaa;   /* (C), (H,N) */
    struct mr_low_rank pair;          /* (C,E), (E,C): of the decay */
    mr_tensor z;                      /* [R,C] what the mixtures are made from */
    mr_tensor low, mixed;             /* [R,5D]; [5,R,C] m, then xw, xk, xv, xr, xg */
    mr_tensor change;                 /* scratch [R,C] */
    /* Scratch of backward: [5,R,C], [R,5D], [R,C] */
    mr_tensor m, dmixed, dlow, dz, dchange, dynamic_scratch, shift_scratch;
};

/* of r, k, v, gate */
static const int mixture_of[MR_WKV6_INPUTS] = {R, K, V, G};

static const char *const maa_names[MIXTURES] = {"time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"};

/* The narrow matrices start at 0, so that at first the data change nothing. */
static int declare_pair(struct mr_params *params, const char *prefix, const char *name, const size_t *shape,
                        double range)
{
    struct mr_param *p = mr_declare(params, prefix, name, shape);
    if (!p)
        return params->error;
    p->range = range;
    return 0;
}

static int declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    size_t C = (size_t)cfg->n_embd, H = (size_t)mr_head_count(cfg);
    size_t D = (size_t)mr_lora_width(cfg, 0), E = (size_t)mr_lora_width(cfg, 1);
    mr_init_values *const inits[] = {mr_init_before_key, mr_init_before_key, mr_init_before_value, mr_init_before_gate,
                                     mr_init_before_gate};
    MR_TRY(mr_declare_init(params, prefix, "time_maa_x", mr_shape(1, 1, C), block, mr_init_before_key));
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_declare_init(params, prefix, maa_names[i], mr_shape(1, 1, C), block, inits[i]));
    MR_TRY(declare_pair(params, prefix, "time_maa_w1", mr_shape(C, MIXTURES * D), 0));
    MR_TRY(declare_pair(params, prefix, "time_maa_w2", mr_shape(MIXTURES, D, C), 0.01));
    MR_TRY(mr_declare_init(params, prefix, "time_decay", mr_shape(1, 1, C), block, mr_init_decay));
    MR_TRY(declare_pair(params, prefix, "time_decay_w1", mr_shape(C, E), 0));
    MR_TRY(declare_pair(params, prefix, "time_decay_w2", mr_shape(E, C), 0.01));
    MR_TRY(mr_declare_init(params, prefix, "time_faaaa", mr_shape(H, C / H), block, mr_wkv6_init_bonus));
    mr_param_find(params, prefix, "time_decay")->rate = 2;
    mr_param_find(params, prefix, "time_faaaa")->rate = 3;
    return mr_wkv6_core_declare(params, cfg, prefix, block, true);
}

static struct mr_token_shift shift_of(int batch, int time, const struct mr_config *cfg)
{
    return (struct mr_token_shift){.batch = batch, .time = time, .dim = cfg->n_embd, .count = 1};
}

static int plan_backward(struct tmix *own, struct mr_planner *p, size_t n)
{
    const struct mr_token_shift shift = shift_of(p->batch, p->time, p->cfg);
    MR_TRY(mr_scratch(p, &own->m, MIXTURES * n));
    MR_TRY(mr_scratch(p, &own->dmixed, MIXTURES * n));
    MR_TRY(mr_scratch(p, &own->dlow, p->rows * own->maa_w1->shape[1]));
    MR_TRY(mr_scratch(p, &own->dz, n));
    MR_TRY(mr_scratch(p, &own->dchange, n));
    MR_TRY(mr_scratch(p, &own->dynamic_scratch,
                      mr_dynamic_shift_backward_scratch(p->rt, p->batch, p->time, p->cfg->n_embd)));
    return mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift));
}

static int plan(struct mr_node *node, struct mr_planner *p)
{
    struct tmix *own = node->own;
    const struct {
        struct mr_param **where;
        const char *name;
    } all[] = {
        {&own->maa_x, "time_maa_x"}, {&own->maa_w1, "time_maa_w1"}, {&own->maa_w2, "time_maa_w2"},
        {&own->decay, "time_decay"}, {&own->faaaa, "time_faaaa"},
    };
    size_t rows = p->rows, n = rows * (size_t)p->cfg->n_embd;
    MR_TRY(mr_wkv6_core_plan(&own->core, p, node->prefix, true, true));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        *all[i].where = mr_param_find(p->params, node->prefix, all[i].name);
    for (int i = 0; i < MIXTURES; i++)
        own->maa[i] = mr_param_find(p->params, node->prefix, maa_names[i]);
    MR_TRY(mr_low_rank_plan(&own->pair, p, node->prefix, "time_decay_w1", "time_decay_w2", NULL, MR_ACT_TANH));
    MR_TRY(mr_keep(p, &own->z, n));
    MR_TRY(mr_keep(p, &own->low, rows * own->maa_w1->shape[1]));
    MR_TRY(mr_keep(p, &own->mixed, MIXTURES * n));
    MR_TRY(mr_scratch(p, &own->change, n));
    return p->training ? plan_backward(own, p, n) : 0;
}

/* m [5,R,C] = low · w2 */
static int widen(const struct tmix *own, mr_workspace *ws, const mr_tensor *m)
{
    int C = ws->cfg->n_embd, rows = ws->rows, D = (int)own->maa_w2->shape[1];
    const struct mr_gemm up = {.m = rows,
                               .n = C,
                               .k = D,
                               .lda = MIXTURES * D,
                               .batch = MIXTURES,
                               .stride_a = (size_t)D,
                               .stride_b = (size_t)D * (size_t)C,
                               .stride_c = (size_t)rows * (size_t)C};
    return mr_gemm(ws->rt, &up, &own->low, &own->maa_w2->value, m);
}

/* own->mixed [5,R,C]: m_i = tanh(z · w1)_i · w2_i, then the mixtures; the state moves on. */
static int mix(struct mr_node *node, mr_workspace *ws, const mr_tensor *x)
{
    struct tmix *own = node->own;
    int C = ws->cfg->n_embd, rows = ws->rows, D = (int)own->maa_w2->shape[1];
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    const mr_tensor *previous, *maa[MIXTURES];
    struct mr_gemm down = {.m = rows, .n = MIXTURES * D, .k = C};
    for (int i = 0; i < MIXTURES; i++)
        maa[i] = &own->maa[i]->value;
    MR_TRY(mr_state_of(ws, node, 0, &previous));
    MR_TRY(mr_token_shift_forward(ws->rt, &shift, x, previous, (const mr_tensor *const[]){&own->maa_x->value},
                                  (const mr_tensor *const[]){&own->z}));
    MR_TRY(mr_gemm(ws->rt, &down, &own->z, &own->maa_w1->value, &own->low));
    MR_TRY(mr_tanh_forward(ws->rt, &own->low, &own->low, (size_t)rows * MIXTURES * (size_t)D));
    MR_TRY(widen(own, ws, &own->mixed));
    MR_TRY(mr_dynamic_shift_forward(ws->rt, x, previous, maa, &own->mixed, ws->batch, ws->time, C));
    return previous ? mr_token_shift_state(ws->rt, &shift, x, previous) : 0;
}

/* What forward does before its recurrence, in five launches. */
static int step_inputs(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x)
{
    struct tmix *own = node->own;
    int C = ws->cfg->n_embd, rows = ws->rows, D = (int)own->maa_w2->shape[1];
    size_t n = (size_t)rows * (size_t)C;
    const mr_tensor *maa[MIXTURES];
    for (int i = 0; i < MIXTURES; i++)
        maa[i] = &own->maa[i]->value;
    MR_TRY(mr_step_shift(node, ws, norm, x, &own->maa_x, 1, false, true));
    const struct mr_product low = {.x = &ws->mixes,
                                   .w = &own->maa_w1->value,
                                   .y = &own->low,
                                   .n = MIXTURES * D,
                                   .k = C,
                                   .transposed = true,
                                   .act = MR_ACT_TANH};
    MR_TRY(mr_products(ws->rt, &low, 1, rows));
    MR_TRY(mr_dynamic_shift_step(ws->rt, &ws->mixes, &own->low, &own->maa_w2->value, maa, &own->mixed, rows, D, C));
    struct mr_product in[MR_WKV6_INPUTS + 1];
    for (int i = 0; i < MR_WKV6_INPUTS; i++)
        in[i] = mr_linear_product(&own->core.linear[i], &own->mixed, (size_t)mixture_of[i] * n, &own->core.in[i]);
    in[MR_WKV6_INPUTS] = mr_low_rank_down(&own->pair, &own->mixed, 0, &own->pair.low, 0); /* xw is the first mixture */
    MR_TRY(mr_products(ws->rt, in, MR_WKV6_INPUTS + 1, rows));
    const struct mr_product up = mr_low_rank_up(&own->pair, &own->pair.low, 0);
    return mr_products(ws->rt, &up, 1, rows);
}

static int step(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y)
{
    struct tmix *own = node->own;
    MR_TRY(step_inputs(node, ws, norm, x));
    return mr_wkv6_core_step(
        &own->core, node, ws,
        (struct mr_wkv6_step){
            .decays = MR_DECAY_ROW, .decay = &own->decay->value, .u = &own->faaaa->value, .x = &own->pair.out},
        add, y);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct tmix *own = node->own;
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, true);
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mix(node, ws, x));
    for (int i = 0; i < MR_WKV6_INPUTS; i++)
        MR_TRY(mr_wkv6_core_input(&own->core, ws, i, &own->mixed, (size_t)mixture_of[i] * n));
    MR_TRY(mr_low_rank_forward(ws, &own->pair, &own->mixed)); /* xw is the first mixture */
    MR_TRY(mr_wkv6_change(ws->rt, &s, &own->decay->value, &own->pair.out, &own->change));
    return mr_wkv6_core_forward(&own->core, node, ws, true, &own->change, &own->faaaa->value, y);
}

/* From own->dmixed, the gradients of the five m, through their pairs to own->dz */
static int pairs_backward(const struct tmix *own, mr_workspace *ws)
{
    int C = ws->cfg->n_embd, rows = ws->rows, D = (int)own->maa_w2->shape[1], low = MIXTURES * D;
    size_t wide = (size_t)rows * (size_t)C, weights = (size_t)D * (size_t)C;
    const struct mr_gemm dw2 = {.m = D,
                                .n = C,
                                .k = rows,
                                .trans_a = true,
                                .beta = 1,
                                .lda = low,
                                .batch = MIXTURES,
                                .stride_a = (size_t)D,
                                .stride_b = wide,
                                .stride_c = weights};
    const struct mr_gemm dlow = {.m = rows,
                                 .n = D,
                                 .k = C,
                                 .trans_b = true,
                                 .ldc = low,
                                 .batch = MIXTURES,
                                 .stride_a = wide,
                                 .stride_b = weights,
                                 .stride_c = (size_t)D};
    const struct mr_gemm dw1 = {.m = C, .n = low, .k = rows, .trans_a = true, .beta = 1};
    const struct mr_gemm dz = {.m = rows, .n = C, .k = low, .trans_b = true};
    MR_TRY(mr_gemm(ws->rt, &dw2, &own->low, &own->dmixed, mr_grad(ws, own->maa_w2)));
    MR_TRY(mr_gemm(ws->rt, &dlow, &own->dmixed, &own->maa_w2->value, &own->dlow));
    MR_TRY(mr_tanh_backward(ws->rt, &own->low, &own->dlow, &own->dlow, (size_t)rows * (size_t)low));
    MR_TRY(mr_gemm(ws->rt, &dw1, &own->z, &own->dlow, mr_grad(ws, own->maa_w1)));
    return mr_gemm(ws->rt, &dz, &own->dlow, &own->maa_w1->value, &own->dz);
}

/* From own->dmixed, the gradients of the mixtures, to dx */
static int mix_backward(const struct tmix *own, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dx)
{
    const struct mr_token_shift shift = shift_of(ws->batch, ws->time, ws->cfg);
    struct mr_dynamic_shift_gradients g = {.dmixed = &own->dmixed, .dx = dx};
    const mr_tensor *maa[MIXTURES], *maa_x = &own->maa_x->value, *dmaa_x = mr_grad(ws, own->maa_x), *dz = &own->dz;
    for (int i = 0; i < MIXTURES; i++) {
        maa[i] = &own->maa[i]->value;
        g.dmaa[i] = mr_grad(ws, own->maa[i]);
    }
    MR_TRY(widen(own, ws, &own->m)); /* again: the mixtures took its place */
    MR_TRY(mr_dynamic_shift_backward(ws->rt, x, maa, &own->m, &g, &own->dynamic_scratch, ws->batch, ws->time,
                                     ws->cfg->n_embd));
    MR_TRY(pairs_backward(own, ws));
    return mr_token_shift_backward(ws->rt, &shift, x, &maa_x, &dz, dx, true, &dmaa_x, &own->shift_scratch);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    struct tmix *own = node->own;
    const struct mr_wkv6 s = mr_wkv6_core_shape(ws, true);
    const struct mr_wkv6_decays decays = {.varies = true,
                                          .change = &own->change,
                                          .u = &own->faaaa->value,
                                          .dchange = &own->dchange,
                                          .du = mr_grad(ws, own->faaaa)};
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    MR_TRY(mr_wkv6_change(ws->rt, &s, &own->decay->value, &own->pair.out, &own->change)); /* again: it was scratch */
    MR_TRY(mr_wkv6_core_backward(&own->core, node, ws, &decays, dy, dx));
    for (int i = 0; i < MR_WKV6_INPUTS; i++)
        MR_TRY(mr_wkv6_core_input_backward(&own->core, ws, i, &own->mixed, &own->dmixed, (size_t)mixture_of[i] * n));
    MR_TRY(mr_wkv6_change_backward(ws->rt, &s, &own->decay->value, &own->pair.out, &own->dchange));
    MR_TRY(mr_bias_backward(ws->rt, &own->dchange, mr_grad(ws, own->decay), &ws->reduce, ws->rows, ws->cfg->n_embd));
    MR_TRY(mr_low_rank_backward(ws, &own->pair, &own->mixed, &own->dchange, &own->dmixed, false));
    return mix_backward(own, ws, x, dx);
}

const struct mr_layer mr_layer_rwkv6_time_mix = {
    .name = "rwkv6_time_mix",
    .own = sizeof(struct tmix),
    .declare = declare,
    .states = mr_wkv6_core_states,
    .plan = plan,
    .forward = forward,
    .step = step,
    .backward = backward,
};
