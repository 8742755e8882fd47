/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of RWKV-7's time mix: from the output linear map through the gate, the norm, the recurrence and what it is
 * made of to the mixtures of the token shift. */
#include "model/layers/rwkv7_time_mix.h"
#include "ops/elementwise.h"
#include "ops/group_norm.h"
#include "ops/wkv7_around.h"
#include "ops/wkv7_backward.h"

int mr_rwkv7_plan_backward(struct mr_rwkv7_time_mix *own, struct mr_planner *p)
{
    const struct mr_config *cfg = p->cfg;
    size_t n = p->rows * (size_t)cfg->n_embd;
    const struct mr_wkv7 s = mr_rwkv7_recurrence(p->batch, p->time, cfg);
    const struct mr_token_shift shift = mr_rwkv7_shift(p->batch, p->time, cfg);
    mr_tensor *rows[] = {&own->dr,     &own->dchange, &own->dkey, &own->dvalue,  &own->dkappa, &own->dremoval,
                         &own->dshare, &own->dgate,   &own->dy,   &own->dnormed, &own->dgated};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        MR_TRY(mr_scratch(p, rows[i], n));
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_scratch(p, &own->dmixed[i], n));
    MR_TRY(mr_shared_gradient(p, &own->dv_first, "v_first gradient", n));
    MR_TRY(mr_scratch(p, &own->dstate, (size_t)p->batch * (size_t)cfg->n_embd * (size_t)cfg->head_size));
    MR_TRY(mr_scratch(p, &own->recurrence_scratch, mr_wkv7_backward_scratch(p->rt, &s)));
    MR_TRY(mr_scratch(p, &own->around_scratch, mr_wkv7_around_scratch(p->rt, &s)));
    MR_TRY(mr_scratch(p, &own->shift_scratch, mr_token_shift_backward_scratch(p->rt, &shift)));
    return mr_scratch(p, &own->norm_scratch, mr_group_norm_backward_scratch(p->rt, s.batch * s.time, s.heads, s.width));
}

/* From dgated to dr, dkey, dvalue, dgate and dy, that of the recurrence's output */
static int output_backward(const struct mr_rwkv7_time_mix *own, mr_workspace *ws, const struct mr_wkv7 *s,
                           const struct mr_wkv7_inputs *in)
{
    const struct mr_wkv7_output x = {.r = &own->in[R7_R],
                                     .k = in->key,
                                     .v = in->value,
                                     .bonus = &own->r_k->value,
                                     .g = &own->pair[PAIR_G].out,
                                     .x = &own->normed};
    const struct mr_wkv7_output_gradients g = {.dy = &own->dgated,
                                               .dr = &own->dr,
                                               .dk = &own->dkey,
                                               .dv = &own->dvalue,
                                               .dg = &own->dgate,
                                               .dx = &own->dnormed,
                                               .dbonus = mr_grad(ws, own->r_k)};
    const struct mr_group_norm_gradients normed = {.dy = &own->dnormed,
                                                   .dx = &own->dy,
                                                   .dweight = mr_grad(ws, own->ln_weight),
                                                   .dbias = mr_grad(ws, own->ln_bias)};
    MR_TRY(mr_wkv7_output_backward(ws->rt, s, &x, &g, &own->around_scratch));
    return mr_group_norm_backward(ws->rt, &own->y, &own->ln_weight->value, &own->mean, &own->rstd, &normed,
                                  &own->norm_scratch, ws->rows, s->heads, s->width);
}

/* From there to the gradients of what the linear layers and the pairs give */
static int recurrence_backward(const struct mr_rwkv7_time_mix *own, mr_workspace *ws, const struct mr_wkv7 *s,
                               const struct mr_wkv7_inputs *in)
{
    const struct mr_wkv7_recurrence x = {.r = &own->in[R7_R],
                                         .change = in->change,
                                         .k = in->key,
                                         .v = in->value,
                                         .kappa = in->kappa,
                                         .removal = in->removal,
                                         .kept = &own->kept};
    const struct mr_wkv7_gradients g = {.dy = &own->dy,
                                        .dr = &own->dr,
                                        .dchange = &own->dchange,
                                        .dk = &own->dkey,
                                        .dv = &own->dvalue,
                                        .dkappa = &own->dkappa,
                                        .dremoval = &own->dremoval,
                                        .dstate = &own->dstate};
    const struct mr_wkv7_inputs_gradients made = {.dchange = &own->dchange,
                                                  .dremoval = &own->dremoval,
                                                  .dkey = &own->dkey,
                                                  .dvalue = &own->dvalue,
                                                  .dkappa = &own->dkappa,
                                                  .dshare = &own->dshare,
                                                  .dv_first = own->dv_first,
                                                  .dk_k = mr_grad(ws, own->k_k),
                                                  .dk_a = mr_grad(ws, own->k_a)};
    MR_TRY(mr_zero(ws->rt, &own->dstate));
    MR_TRY(mr_wkv7_backward(ws->rt, s, &x, &g, &own->recurrence_scratch));
    if (mr_trained(own->state)) /* which all texts share */
        MR_TRY(mr_sum_rows(ws->rt, &own->dstate, (const mr_tensor *const[]){mr_grad(ws, own->state)}, ws->batch, 1,
                           (int)own->state->count));
    return mr_wkv7_inputs_backward(ws->rt, s, in, &made, &own->around_scratch);
}

/* Through the linear layers and the pairs to the mixtures */
static int mixtures_backward(const struct mr_rwkv7_time_mix *own, mr_workspace *ws, bool first)
{
    const mr_tensor *of_linear[R7_LINEARS] = {&own->dr, &own->dkey, &own->dvalue};
    const mr_tensor *of_pair[PAIRS] = {&own->dchange, &own->dremoval, &own->dshare, &own->dgate};
    for (int i = 0; i < R7_LINEARS; i++) {
        int mix = mr_rwkv7_linear_mix[i];
        MR_TRY(mr_linear_backward(ws, &own->linear[i], &own->mixed[mix], of_linear[i], &own->dmixed[mix], false));
    }
    for (int i = 0; i < PAIRS; i++) {
        int mix = mr_rwkv7_pair_mix[i];
        if (i != PAIR_V || !first)
            MR_TRY(
                mr_low_rank_backward(ws, &own->pair[i], &own->mixed[mix], of_pair[i], &own->dmixed[mix], i == PAIR_V));
    }
    return 0;
}

int mr_rwkv7_backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                      const mr_tensor *dx)
{
    const struct mr_rwkv7_time_mix *own = node->own;
    bool first = node->block == 0;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    const struct mr_wkv7 s = mr_rwkv7_recurrence(ws->batch, ws->time, ws->cfg);
    const struct mr_token_shift shift = mr_rwkv7_shift(ws->batch, ws->time, ws->cfg);
    const struct mr_wkv7_inputs in = mr_rwkv7_inputs(own, node->block, true);
    const mr_tensor *mix[MIXTURES], *dmix[MIXTURES], *dmixed[MIXTURES];
    MR_TRY(mr_drop_backward(ws, node->site, &dy, dx, n));
    MR_TRY(mr_linear_backward(ws, &own->output, &own->gated, dy, &own->dgated, false));
    MR_TRY(output_backward(own, ws, &s, &in));
    MR_TRY(recurrence_backward(own, ws, &s, &in));
    if (first) /* which all other blocks took values from */
        MR_TRY(mr_accumulate(ws->rt, own->dv_first, &own->dvalue, n));
    MR_TRY(mixtures_backward(own, ws, first));
    for (int i = 0; i < MIXTURES; i++) {
        mix[i] = &own->mix[i]->value;
        dmix[i] = mr_grad(ws, own->mix[i]);
        dmixed[i] = &own->dmixed[i];
    }
    return mr_token_shift_backward(ws->rt, &shift, x, mix, dmixed, dx, false, dmix, &own->shift_scratch);
}
