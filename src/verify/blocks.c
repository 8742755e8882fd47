/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/cases.h"

#include "ops/expert_linear.h"
#include "ops/mixture.h"
#include "ops/mixture_topk.h"
#include "ops/time_mix.h"
#include "ref/expert_linear.h"
#include "ref/mixture.h"
#include "ref/mixture_topk.h"
#include "ref/time_mix.h"

static void time_mix(struct mr_trial *t, int B, int T, int H, int W)
{
    const struct mr_time_mix s = {.batch = B, .time = T, .heads = H, .width = W};
    size_t R = (size_t)B * (size_t)T * (size_t)H * (size_t)W, S = (size_t)B * (size_t)H * (size_t)W * (size_t)W;
    double *x[3], *dx[3], *decay = mr_trial_random(t, (size_t)H, 1), *faaaa = mr_trial_random(t, (size_t)H, 1);
    double *dy = mr_trial_random(t, R, 1), *y = mr_trial_zeros(t, R), *state = mr_trial_zeros(t, S);
    double *ddecay = mr_trial_zeros(t, (size_t)H), *dfaaaa = mr_trial_zeros(t, (size_t)H);
    const mr_tensor *in[3], *grad[3], *d = mr_trial_floats(t, decay, (size_t)H),
                                      *u = mr_trial_floats(t, faaaa, (size_t)H);
    const mr_tensor *out = mr_trial_floats(t, NULL, R), *carried = mr_trial_floats(t, state, S);
    const mr_tensor *gd = mr_trial_floats(t, ddecay, (size_t)H), *gu = mr_trial_floats(t, dfaaaa, (size_t)H);
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
    mr_trial_compare(t, gd, ddecay, (size_t)H);
    mr_trial_compare(t, gu, dfaaaa, (size_t)H);
    mr_trial_run(t, mr_time_mix_forward(t->rt, &s, in[0], in[1], in[2], d, u, carried, out, NULL, scratch));
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, carried, state, S);
    mr_trial_forget(t);
}

/* Several chunks: of so many heads that each has a group of its own, and of one narrow head, which a scan joins. */
void mr_case_time_mix(struct mr_trial *t)
{
    time_mix(t, 2, 75, 2, 24);
    time_mix(t, 1, 150, 1, 16);
    time_mix(t, 1, 70, 40, 7);
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

static void mixture_topk(struct mr_trial *t, int rows)
{
    enum { MOST = 70, E = 4, A = 2, IN = 27, OUT = 35 };
    const struct mr_expert_linear s = {.topk = {.rows = rows, .experts = E, .active = A}, .in = IN, .out = OUT};
    int choice[MOST * A];
    size_t R = (size_t)rows, O = R * A * OUT;
    double *logits = mr_trial_random(t, R * E, 1), *scores = mr_trial_zeros(t, R * E),
           *chosen = mr_trial_zeros(t, R * A);
    double *x = mr_trial_random(t, R * IN, 1), *w = mr_trial_random(t, E * OUT * IN, 1),
           *b = mr_trial_random(t, E * OUT, 1);
    double *o = mr_trial_zeros(t, O), *d_o = mr_trial_random(t, O, 1), *dx = mr_trial_zeros(t, R * IN);
    double *dw = mr_trial_zeros(t, E * OUT * IN), *db = mr_trial_zeros(t, E * OUT), zero = 0;
    mr_ref_softmax_forward(logits, scores, rows, E);
    const mr_tensor *given = mr_trial_floats(t, scores, R * E), *back = mr_trial_floats(t, NULL, R * E);
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
    mr_trial_run(t, mr_topk_route(t->rt, &s.topk, given, routes, weights, loss, 1,
                                  mr_trial_floats(t, NULL, mr_topk_scratch(&s.topk) + 1)));
    mr_trial_run(t, mr_expert_linear_forward(t->rt, &s, in, routes, we, be, out, scratch));
    mr_trial_run(t, mr_expert_linear_backward_input(t->rt, &s, upper, routes, we, grad, false, scratch_backward));
    mr_trial_run(t, mr_expert_linear_backward_weight(t->rt, &s, in, upper, routes, dwe, dbe));
    mr_ref_topk_route(scores, choice, chosen, rows, E, A);
    double balance = mr_ref_topk_balance(scores, choice, rows, E, A);
    mr_ref_expert_linear_forward(x, choice, w, b, o, rows, A, IN, OUT);
    mr_ref_expert_linear_backward_input(d_o, choice, w, dx, rows, A, IN, OUT);
    mr_ref_expert_linear_backward_weight(x, d_o, choice, dw, db, rows, A, IN, OUT);
    double *dscores = mr_trial_zeros(t, R * E), *dweights = mr_trial_random(t, R * A, 1);
    mr_trial_run(t, mr_topk_scores_backward(t->rt, &s.topk, given, routes, weights, mr_trial_floats(t, dweights, R * A),
                                            1, back));
    mr_ref_topk_scores_backward(scores, choice, dweights, 1, dscores, rows, E, A);
    mr_trial_compare(t, back, dscores, R * E);
    mr_trial_compare(t, weights, chosen, R * A);
    mr_trial_compare(t, loss, &balance, 1);
    mr_trial_compare(t, out, o, O);
    mr_trial_compare(t, grad, dx, R * IN);
    for (int e = 0; e < E; e++) {
        mr_trial_compare(t, dwe[e], dw + e * OUT * IN, OUT * IN);
        mr_trial_compare(t, dbe[e], db + e * OUT, OUT);
    }
    mr_trial_forget(t);
}

/* Few assignments, as many rows as a group routes, more. */
void mr_case_mixture_topk(struct mr_trial *t)
{
    mixture_topk(t, 5);
    mixture_topk(t, 41);
    mixture_topk(t, 70);
}
