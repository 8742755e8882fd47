/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/cases.h"

#include "ops/expert_linear.h"
#include "ops/mixture.h"
#include "ops/mixture_topk.h"
#include "ops/reference_attention.h"
#include "ops/time_mix.h"
#include "ref/expert_linear.h"
#include "ref/mixture.h"
#include "ref/mixture_topk.h"
#include "ref/reference_attention.h"
#include "ref/time_mix.h"

void mr_case_time_mix(struct mr_trial *t)
{
    enum { B = 2, T = 75, H = 2, W = 24, C = H * W, R = B * T * C, S = B * H * W * W };
    const struct mr_time_mix s = {.batch = B, .time = T, .heads = H, .width = W};
    double *x[3], *dx[3], *decay = mr_trial_random(t, H, 1), *faaaa = mr_trial_random(t, H, 1);
    double *dy = mr_trial_random(t, R, 1), *y = mr_trial_zeros(t, R), *state = mr_trial_zeros(t, S);
    double *ddecay = mr_trial_zeros(t, H), *dfaaaa = mr_trial_zeros(t, H);
    const mr_tensor *in[3], *grad[3], *d = mr_trial_floats(t, decay, H), *u = mr_trial_floats(t, faaaa, H);
    const mr_tensor *out = mr_trial_floats(t, NULL, R), *carried = mr_trial_floats(t, state, S);
    const mr_tensor *gd = mr_trial_floats(t, ddecay, H), *gu = mr_trial_floats(t, dfaaaa, H);
    const mr_tensor *kept = mr_trial_floats(t, NULL, mr_time_mix_kept(t->rt, &s) + 1);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_time_mix_scratch(t->rt, &s, true) + 1);
    for (int i = 0; i < 3; i++) {
        x[i] = mr_trial_random(t, R, 1);
        dx[i] = mr_trial_zeros(t, R);
        in[i] = mr_trial_floats(t, x[i], R);
        grad[i] = mr_trial_floats(t, NULL, R);
    }
    mr_trial_run(t, mr_time_mix_forward(t->rt, &s, in[0], in[1], in[2], d, u, NULL, out, kept, scratch));
    const struct mr_time_mix_gradients g = {mr_trial_floats(t, dy, R), grad[0], grad[1], grad[2], gd, gu};
    mr_trial_run(t, mr_time_mix_backward(t->rt, &s, in[0], in[1], in[2], d, u, kept, &g, scratch));
    mr_ref_time_mix_forward(x[0], x[1], x[2], decay, faaaa, state, y, B, T, H, W);
    const struct mr_ref_time_mix_gradients want = {dy, dx[0], dx[1], dx[2], ddecay, dfaaaa};
    mr_ref_time_mix_backward(x[0], x[1], x[2], decay, faaaa, &want, B, T, H, W);
    mr_trial_compare(t, out, y, R);
    for (int i = 0; i < 3; i++)
        mr_trial_compare(t, grad[i], dx[i], R);
    mr_trial_compare(t, gd, ddecay, H);
    mr_trial_compare(t, gu, dfaaaa, H);
    mr_trial_run(t, mr_time_mix_forward(t->rt, &s, in[0], in[1], in[2], d, u, carried, out, NULL, scratch));
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, carried, state, S);
}

void mr_case_reference_attention(struct mr_trial *t)
{
    enum { B = 2, T = 21, H = 2, C = 48, R = B * T * C };
    const struct mr_reference_attention s = {.batch = B, .time = T, .heads = H, .dim = C};
    double *qkv = mr_trial_random(t, 3 * R, 1), *qkvw = mr_trial_random(t, 4 * R, 1), *dy = mr_trial_random(t, R, 1);
    double *y = mr_trial_zeros(t, R), *dqkv = mr_trial_zeros(t, 3 * R), *dqkvw = mr_trial_zeros(t, 4 * R);
    const mr_tensor *three = mr_trial_floats(t, qkv, 3 * R), *four = mr_trial_floats(t, qkvw, 4 * R);
    const mr_tensor *upper = mr_trial_floats(t, dy, R), *out = mr_trial_floats(t, NULL, R);
    const mr_tensor *grad = mr_trial_floats(t, NULL, 4 * R);
    const mr_tensor *kept = mr_trial_floats(t, NULL, mr_reference_sliding_kept(&s) + 1);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_reference_sliding_scratch(&s, true) + 1);
    mr_trial_run(t, mr_reference_sliding_forward(t->rt, &s, three, out, kept, scratch));
    mr_trial_run(t, mr_reference_sliding_backward(t->rt, &s, three, kept, upper, grad, scratch));
    mr_ref_reference_sliding_forward(qkv, y, B, T, H, C);
    mr_ref_reference_sliding_backward(qkv, dy, dqkv, B, T, H, C);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, grad, dqkv, 3 * R);

    kept = mr_trial_floats(t, NULL, mr_reference_grouped_kept(&s) + 1);
    scratch = mr_trial_floats(t, NULL, mr_reference_grouped_scratch(&s) + 1);
    mr_trial_run(t, mr_reference_grouped_forward(t->rt, &s, four, out, kept));
    mr_trial_run(t, mr_reference_grouped_backward(t->rt, &s, four, kept, upper, grad, scratch));
    mr_ref_reference_grouped_forward(qkvw, y, B, T, H, C);
    mr_ref_reference_grouped_backward(qkvw, dy, dqkvw, B, T, H, C);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, grad, dqkvw, 4 * R);
}

void mr_case_mixture(struct mr_trial *t)
{
    enum { B = 3, T = 11, R = B * T, E = 5, A = 3, D = 29, O = R * A * D };
    double *x = mr_trial_random(t, R * E, 2), *s = mr_trial_zeros(t, R * E), *o = mr_trial_random(t, O, 1);
    double *h = mr_trial_zeros(t, R * D), *dh = mr_trial_random(t, R * D, 1), *ds = mr_trial_zeros(t, R * E);
    double *d_o = mr_trial_zeros(t, O), term = 0, zero = 0;
    const mr_tensor *scores = mr_trial_floats(t, NULL, R * E), *outs = mr_trial_floats(t, o, O);
    const mr_tensor *sum = mr_trial_floats(t, NULL, R * D), *grad_scores = mr_trial_floats(t, NULL, R * E);
    const mr_tensor *grad = mr_trial_floats(t, NULL, O), *mean = mr_trial_floats(t, NULL, B * A * D);
    const mr_tensor *loss = mr_trial_floats(t, &zero, 1);
    mr_trial_run(t, mr_softmax_forward(t->rt, mr_trial_floats(t, x, R * E), scores, R, E));
    mr_ref_softmax_forward(x, s, R, E);
    mr_trial_compare(t, scores, s, R * E);
    mr_trial_run(t, mr_mixture_forward(t->rt, scores, outs, sum, R, E, A, D));
    mr_ref_mixture_forward(s, o, h, R, E, A, D);
    mr_trial_compare(t, sum, h, R * D);
    mr_trial_run(
        t, mr_mixture_backward(t->rt, scores, outs, mr_trial_floats(t, dh, R * D), grad_scores, grad, R, E, A, D));
    mr_ref_mixture_backward(s, o, dh, ds, d_o, R, E, A, D);
    mr_trial_compare(t, grad_scores, ds, R * E);
    mr_trial_run(t, mr_diversity_forward(t->rt, outs, mean, loss, B, T, A, D, 2));
    mr_trial_run(t, mr_diversity_backward(t->rt, mean, grad, B, T, A, D, 2));
    term = 2 * mr_ref_diversity_forward(o, B, T, A, D);
    mr_ref_diversity_backward(o, d_o, B, T, A, D, 2);
    mr_trial_compare(t, loss, &term, 1);
    mr_trial_compare(t, grad, d_o, O);
    mr_trial_run(t, mr_softmax_backward(t->rt, scores, grad_scores, grad_scores, R, E));
    mr_ref_softmax_backward(x, ds, s, R, E);
    mr_trial_compare(t, grad_scores, s, R * E);
}

void mr_case_mixture_topk(struct mr_trial *t)
{
    enum { R = 41, E = 4, A = 2, IN = 27, OUT = 35, O = R * A * OUT };
    const struct mr_expert_linear s = {.topk = {.rows = R, .experts = E, .active = A}, .in = IN, .out = OUT};
    int choice[R * A];
    double *logits = mr_trial_random(t, R * E, 1), *scores = mr_trial_zeros(t, R * E),
           *chosen = mr_trial_zeros(t, R * A);
    double *x = mr_trial_random(t, R * IN, 1), *w = mr_trial_random(t, E * OUT * IN, 1),
           *b = mr_trial_random(t, E * OUT, 1);
    double *o = mr_trial_zeros(t, O), *d_o = mr_trial_random(t, O, 1), *dx = mr_trial_zeros(t, R * IN);
    double *dw = mr_trial_zeros(t, E * OUT * IN), *db = mr_trial_zeros(t, E * OUT), zero = 0;
    mr_ref_softmax_forward(logits, scores, R, E);
    const mr_tensor *routes =
        mr_trial_ints(t, mr_trial_integers(t, mr_topk_routes(&s.topk), 0, 0), mr_topk_routes(&s.topk));
    const mr_tensor *weights = mr_trial_floats(t, NULL, R * A), *loss = mr_trial_floats(t, &zero, 1);
    const mr_tensor *in = mr_trial_floats(t, x, R * IN), *out = mr_trial_floats(t, NULL, O),
                    *upper = mr_trial_floats(t, d_o, O);
    const mr_tensor *grad = mr_trial_floats(t, NULL, R * IN), *we[E], *be[E], *dwe[E], *dbe[E];
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_expert_linear_forward_scratch(&s) + 1);
    const mr_tensor *scratch_backward = mr_trial_floats(t, NULL, mr_expert_linear_backward_scratch(&s) + 1);
    for (int e = 0; e < E; e++) {
        we[e] = mr_trial_floats(t, w + e * OUT * IN, OUT * IN);
        be[e] = mr_trial_floats(t, b + e * OUT, OUT);
        dwe[e] = mr_trial_floats(t, dw, OUT * IN);
        dbe[e] = mr_trial_floats(t, db, OUT);
    }
    mr_trial_run(t, mr_topk_route(t->rt, &s.topk, mr_trial_floats(t, scores, R * E), routes, weights, loss, 1,
                                  mr_trial_floats(t, NULL, mr_topk_scratch(&s.topk) + 1)));
    mr_trial_run(t, mr_expert_linear_forward(t->rt, &s, in, routes, we, be, out, scratch));
    mr_trial_run(t, mr_expert_linear_backward_input(t->rt, &s, upper, routes, we, grad, false, scratch_backward));
    mr_trial_run(t, mr_expert_linear_backward_weight(t->rt, &s, in, upper, routes, dwe, dbe));
    mr_ref_topk_route(scores, choice, chosen, R, E, A);
    double balance = mr_ref_topk_balance(scores, choice, R, E, A);
    mr_ref_expert_linear_forward(x, choice, w, b, o, R, A, IN, OUT);
    mr_ref_expert_linear_backward_input(d_o, choice, w, dx, R, A, IN, OUT);
    mr_ref_expert_linear_backward_weight(x, d_o, choice, dw, db, R, A, IN, OUT);
    mr_trial_compare(t, weights, chosen, R * A);
    mr_trial_compare(t, loss, &balance, 1);
    mr_trial_compare(t, out, o, O);
    mr_trial_compare(t, grad, dx, R * IN);
    for (int e = 0; e < E; e++) {
        mr_trial_compare(t, dwe[e], dw + e * OUT * IN, OUT * IN);
        mr_trial_compare(t, dbe[e], db + e * OUT, OUT);
    }
}
