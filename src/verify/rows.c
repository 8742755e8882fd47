/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/cases.h"

#include <string.h>

#include "ops/adamw.h"
#include "ops/channel_mix.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/gelu.h"
#include "ops/group_norm.h"
#include "ops/layer_norm.h"
#include "ops/rms_norm.h"
#include "ops/silu_gate.h"
#include "ops/token_shift.h"
#include "ref/adamw.h"
#include "ref/channel_mix.h"
#include "ref/cross_entropy.h"
#include "ref/dropout.h"
#include "ref/elementwise.h"
#include "ref/embedding.h"
#include "ref/gelu.h"
#include "ref/group_norm.h"
#include "ref/layer_norm.h"
#include "ref/rms_norm.h"
#include "ref/silu_gate.h"
#include "ref/token_shift.h"

enum { ROWS = 37, DIM = 101, N = ROWS * DIM };

void mr_case_elementwise(struct mr_trial *t)
{
    double *a = mr_trial_random(t, N, 1), *b = mr_trial_random(t, N, 1), *want = mr_trial_zeros(t, N);
    const mr_tensor *da = mr_trial_floats(t, a, N), *db = mr_trial_floats(t, b, N), *y = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_add_forward(t->rt, da, db, y, N));
    mr_ref_add_forward(a, b, want, N);
    mr_trial_compare(t, y, want, N);
    mr_trial_run(t, mr_multiply_forward(t->rt, (struct mr_columns){da, 0, 0}, (struct mr_columns){db, 0, 0},
                                        (struct mr_columns){y, 0, 0}, ROWS, DIM));
    mr_ref_multiply_forward(a, b, want, N);
    mr_trial_compare(t, y, want, N);
    const mr_tensor *dy = mr_trial_floats(t, want, N), *grad = mr_trial_floats(t, NULL, N);
    double *ga = mr_trial_zeros(t, N), *gb = mr_trial_zeros(t, N);
    mr_trial_run(t, mr_multiply_backward(t->rt, (struct mr_columns){da, 0, 0}, (struct mr_columns){db, 0, 0},
                                         (struct mr_columns){dy, 0, 0}, (struct mr_columns){y, 0, 0},
                                         (struct mr_columns){grad, 0, 0}, ROWS, DIM));
    for (int i = 0; i < N; i++)
        want[i] = (float)want[i];
    mr_ref_multiply_backward(a, b, want, ga, gb, N);
    mr_trial_compare(t, y, ga, N);
    mr_trial_compare(t, grad, gb, N);
    mr_trial_run(t, mr_accumulate(t->rt, db, da, N));
    mr_ref_accumulate(b, a, N);
    mr_trial_compare(t, da, a, N);
    mr_trial_run(t, mr_scale(t->rt, da, N, 0.75f));
    for (int i = 0; i < N; i++)
        a[i] = (float)a[i];
    mr_ref_scale(a, N, 0.75);
    mr_trial_compare(t, da, a, N);
    mr_trial_run(t, mr_tanh_forward(t->rt, db, y, N));
    mr_ref_tanh_forward(b, want, N);
    mr_trial_compare(t, y, want, N);
    mr_trial_run(t, mr_sigmoid_forward(t->rt, db, y, N));
    mr_ref_sigmoid_forward(b, want, N);
    mr_trial_compare(t, y, want, N);
    mr_trial_run(t, mr_tanh_backward(t->rt, db, da, y, N));
    mr_ref_tanh_backward(b, a, want, N);
    mr_trial_compare(t, y, want, N);
    mr_trial_run(t, mr_sigmoid_backward(t->rt, db, da, y, N));
    mr_ref_sigmoid_backward(b, a, want, N);
    mr_trial_compare(t, y, want, N);
}

void mr_case_gelu(struct mr_trial *t)
{
    double *x = mr_trial_random(t, N, 2), *dy = mr_trial_random(t, N, 1), *y = mr_trial_zeros(t, N);
    double *dx = mr_trial_zeros(t, N);
    const mr_tensor *in = mr_trial_floats(t, x, N), *upper = mr_trial_floats(t, dy, N);
    const mr_tensor *out = mr_trial_floats(t, NULL, N), *grad = mr_trial_floats(t, NULL, N);
    const enum mr_activation acts[] = {MR_ACT_GELU_ERF, MR_ACT_GELU_TANH, MR_ACT_GELU_QUICK, MR_ACT_RELU};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        mr_trial_run(t, mr_gelu_forward(t->rt, in, out, N, acts[i]));
        mr_trial_run(t, mr_gelu_backward(t->rt, in, upper, grad, N, acts[i]));
        mr_ref_gelu_forward(x, y, N, acts[i]);
        mr_ref_gelu_backward(x, dy, dx, N, acts[i]);
        mr_trial_compare(t, out, y, N);
        mr_trial_compare(t, grad, dx, N);
    }
}

void mr_case_embedding(struct mr_trial *t)
{
    enum { B = 3, T = 13, C = 45, V = 20, R = B * T };
    double *wte = mr_trial_random(t, V * C, 1), *wpe = mr_trial_random(t, T * C, 1), *y = mr_trial_zeros(t, R * C);
    double *dy = mr_trial_random(t, R * C, 1), *dwte = mr_trial_zeros(t, V * C), *dwpe = mr_trial_zeros(t, T * C);
    int32_t *tokens = mr_trial_integers(t, R, 0, V - 1), order[R], first[R + 1];
    int unique = 0;
    const mr_tensor *ids = mr_trial_ints(t, tokens, R), *out = mr_trial_floats(t, NULL, R * C);
    mr_trial_run(t, mr_embedding_forward(t->rt, ids, mr_trial_floats(t, wte, V * C), mr_trial_floats(t, wpe, T * C),
                                         out, B, T, C, 0));
    mr_ref_embedding_forward(tokens, wte, wpe, y, B, T, C, V, 0);
    mr_trial_compare(t, out, y, R * C);

    mr_trial_run(t, mr_embedding_order(tokens, R, order, first, &unique));
    const mr_tensor *grad = mr_trial_floats(t, dwte, V * C), *grad_positions = mr_trial_floats(t, dwpe, T * C);
    const mr_tensor *upper = mr_trial_floats(t, dy, R * C), *starts = mr_trial_ints(t, first, (size_t)unique + 1);
    mr_trial_run(t, mr_embedding_backward(t->rt, mr_trial_ints(t, order, R), starts, unique, ids, upper, grad, R, C));
    mr_trial_run(t, mr_position_backward(t->rt, upper, grad_positions, B, T, C, 0));
    mr_ref_embedding_backward(tokens, dy, dwte, dwpe, B, T, C, V);
    mr_trial_compare(t, grad, dwte, V * C);
    mr_trial_compare(t, grad_positions, dwpe, T * C);
}

void mr_case_rms_norm(struct mr_trial *t)
{
    double *x = mr_trial_random(t, N, 2), *dy = mr_trial_random(t, N, 1), *rstd = mr_trial_zeros(t, ROWS);
    double *y = mr_trial_zeros(t, N), *dx = mr_trial_zeros(t, N);
    const mr_tensor *out = mr_trial_floats(t, NULL, N), *scale = mr_trial_floats(t, NULL, ROWS);
    const mr_tensor *grad = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_rms_norm_forward(t->rt, mr_trial_floats(t, x, N), out, scale, ROWS, DIM, 1e-8f));
    mr_trial_run(t, mr_rms_norm_backward(t->rt, out, scale, mr_trial_floats(t, dy, N), grad, ROWS, DIM, false));
    mr_ref_rms_norm_forward(x, y, rstd, ROWS, DIM, 1e-8);
    mr_ref_rms_norm_backward(x, dy, dx, ROWS, DIM, 1e-8);
    mr_trial_compare(t, out, y, N);
    mr_trial_compare(t, grad, dx, N);
}

void mr_case_layer_norm(struct mr_trial *t)
{
    double *x = mr_trial_random(t, N, 2), *w = mr_trial_random(t, DIM, 1), *b = mr_trial_random(t, DIM, 1);
    double *dy = mr_trial_random(t, N, 1), *y = mr_trial_zeros(t, N), *mean = mr_trial_zeros(t, ROWS);
    double *rstd = mr_trial_zeros(t, ROWS), *dx = mr_trial_zeros(t, N), *dw = mr_trial_zeros(t, DIM);
    double *db = mr_trial_zeros(t, DIM);
    const mr_tensor *in = mr_trial_floats(t, x, N), *weight = mr_trial_floats(t, w, DIM);
    const mr_tensor *m = mr_trial_floats(t, NULL, ROWS), *s = mr_trial_floats(t, NULL, ROWS);
    const mr_tensor *out = mr_trial_floats(t, NULL, N), *grad = mr_trial_floats(t, NULL, N);
    const mr_tensor *gw = mr_trial_floats(t, dw, DIM), *gb = mr_trial_floats(t, db, DIM);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_layer_norm_backward_scratch(t->rt, ROWS, DIM));
    mr_trial_run(t, mr_layer_norm_forward(t->rt, in, weight, mr_trial_floats(t, b, DIM), out, m, s, ROWS, DIM, 1e-5f));
    const struct mr_layer_norm_gradients g = {.dy = mr_trial_floats(t, dy, N), .dx = grad, .dweight = gw, .dbias = gb};
    mr_trial_run(t, mr_layer_norm_backward(t->rt, in, weight, m, s, &g, scratch, ROWS, DIM));
    mr_ref_layer_norm_forward(x, w, b, y, mean, rstd, ROWS, DIM, 1e-5);
    mr_ref_layer_norm_backward(x, w, mean, rstd, dy, dx, dw, db, ROWS, DIM);
    mr_trial_compare(t, out, y, N);
    mr_trial_compare(t, grad, dx, N);
    mr_trial_compare(t, gw, dw, DIM);
    mr_trial_compare(t, gb, db, DIM);
}

void mr_case_group_norm(struct mr_trial *t)
{
    enum { HEADS = 5, WIDTH = 19, C = HEADS * WIDTH, R = 33 };
    double *x = mr_trial_random(t, R * C, 2), *w = mr_trial_random(t, C, 1), *b = mr_trial_random(t, C, 1);
    double *dy = mr_trial_random(t, R * C, 1), *y = mr_trial_zeros(t, R * C), *mean = mr_trial_zeros(t, R * HEADS);
    double *rstd = mr_trial_zeros(t, R * HEADS), *dx = mr_trial_zeros(t, R * C), *dw = mr_trial_zeros(t, C);
    double *db = mr_trial_zeros(t, C);
    const mr_tensor *in = mr_trial_floats(t, x, R * C), *weight = mr_trial_floats(t, w, C);
    const mr_tensor *m = mr_trial_floats(t, NULL, R * HEADS), *s = mr_trial_floats(t, NULL, R * HEADS);
    const mr_tensor *out = mr_trial_floats(t, NULL, R * C), *grad = mr_trial_floats(t, NULL, R * C);
    const mr_tensor *gw = mr_trial_floats(t, dw, C), *gb = mr_trial_floats(t, db, C);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_group_norm_backward_scratch(t->rt, R, HEADS, WIDTH));
    mr_trial_run(
        t, mr_group_norm_forward(t->rt, in, weight, mr_trial_floats(t, b, C), out, m, s, R, HEADS, WIDTH, 64e-5f));
    const struct mr_group_norm_gradients g = {
        .dy = mr_trial_floats(t, dy, R * C), .dx = grad, .dweight = gw, .dbias = gb};
    mr_trial_run(t, mr_group_norm_backward(t->rt, in, weight, m, s, &g, scratch, R, HEADS, WIDTH));
    mr_ref_group_norm_forward(x, w, b, y, mean, rstd, R, HEADS, WIDTH, 64e-5);
    mr_ref_group_norm_backward(x, w, mean, rstd, dy, dx, dw, db, R, HEADS, WIDTH);
    mr_trial_compare(t, out, y, R * C);
    mr_trial_compare(t, grad, dx, R * C);
    mr_trial_compare(t, gw, dw, C);
    mr_trial_compare(t, gb, db, C);
}

/* `count` mixtures; keeps has no backward. */
static void token_shift(struct mr_trial *t, int count, bool keeps)
{
    enum { B = 3, T = 17, C = 51, R = B * T * C, MOST = 6 };
    const struct mr_token_shift s = {.batch = B, .time = T, .dim = C, .count = count, .keeps = keeps};
    double *x = mr_trial_random(t, R, 1), *maa[MOST], *dout[MOST], *dx = mr_trial_zeros(t, R);
    double *before = mr_trial_random(t, B * C, 1);
    const mr_tensor *mix[MOST], *y[MOST], *upper[MOST], *grad_mix[MOST], *grad = mr_trial_floats(t, NULL, R);
    const mr_tensor *in = mr_trial_floats(t, x, R), *previous = mr_trial_floats(t, before, B * C);
    for (int i = 0; i < count; i++) {
        maa[i] = mr_trial_random(t, C, 1);
        dout[i] = mr_trial_random(t, R, 1);
        mix[i] = mr_trial_floats(t, maa[i], C);
        y[i] = mr_trial_floats(t, NULL, R);
        upper[i] = mr_trial_floats(t, dout[i], R);
        grad_mix[i] = mr_trial_floats(t, mr_trial_zeros(t, C), C);
    }
    mr_trial_run(t, mr_token_shift_forward(t->rt, &s, in, previous, mix, y));
    mr_trial_run(t, mr_token_shift_state(t->rt, &s, in, previous));
    if (!keeps)
        mr_trial_run(t, mr_token_shift_backward(t->rt, &s, in, mix, upper, grad, false, grad_mix,
                                                mr_trial_floats(t, NULL, mr_token_shift_backward_scratch(t->rt, &s))));
    for (int i = 0; i < count; i++) {
        double *out = mr_trial_zeros(t, R), *dmaa = mr_trial_zeros(t, C), share[C];
        for (int c = 0; c < C; c++)
            share[c] = keeps ? 1 - maa[i][c] : maa[i][c];
        mr_ref_token_shift_forward(x, before, share, out, B, T, C);
        mr_ref_token_shift_backward(x, maa[i], dout[i], dx, dmaa, B, T, C);
        mr_trial_compare(t, y[i], out, R);
        if (!keeps)
            mr_trial_compare(t, grad_mix[i], dmaa, C);
    }
    if (!keeps)
        mr_trial_compare(t, grad, dx, R);
    for (int b = 0; b < B; b++)
        memcpy(before + b * C, x + (b * T + T - 1) * C, C * sizeof *x);
    mr_trial_compare(t, previous, before, B * C);
    mr_trial_forget(t);
}

void mr_case_token_shift(struct mr_trial *t)
{
    for (int count = 1; count <= 6; count++) {
        token_shift(t, count, false);
        if (count <= 4)
            token_shift(t, count, true);
    }
}

void mr_case_channel_mix(struct mr_trial *t)
{
    double *x = mr_trial_random(t, N, 2), *v = mr_trial_random(t, N, 1), *dy = mr_trial_random(t, N, 1);
    double *y = mr_trial_zeros(t, N), *dx = mr_trial_zeros(t, N), *dv = mr_trial_zeros(t, N);
    const mr_tensor *in = mr_trial_floats(t, x, N), *value = mr_trial_floats(t, v, N),
                    *upper = mr_trial_floats(t, dy, N);
    const mr_tensor *out = mr_trial_floats(t, NULL, N), *grad = mr_trial_floats(t, NULL, N);
    const mr_tensor *grad_value = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_squared_relu_forward(t->rt, in, out, N));
    mr_trial_run(t, mr_squared_relu_backward(t->rt, in, upper, grad, N));
    mr_ref_squared_relu_forward(x, y, N);
    mr_ref_squared_relu_backward(x, dy, dx, N);
    mr_trial_compare(t, out, y, N);
    mr_trial_compare(t, grad, dx, N);
    mr_trial_run(t, mr_sigmoid_gate_forward(t->rt, in, value, out, N));
    mr_trial_run(t, mr_sigmoid_gate_backward(t->rt, in, value, upper, grad, grad_value, N));
    mr_ref_sigmoid_gate_forward(x, v, y, N);
    mr_ref_sigmoid_gate_backward(x, v, dy, dx, dv, N);
    mr_trial_compare(t, out, y, N);
    mr_trial_compare(t, grad, dx, N);
    mr_trial_compare(t, grad_value, dv, N);
}

void mr_case_silu_gate(struct mr_trial *t)
{
    double *x = mr_trial_random(t, N, 1), *g = mr_trial_random(t, N, 3), *dy = mr_trial_random(t, N, 1);
    double *y = mr_trial_zeros(t, N), *dx = mr_trial_zeros(t, N), *dg = mr_trial_zeros(t, N);
    const mr_tensor *in = mr_trial_floats(t, x, N), *gate = mr_trial_floats(t, g, N),
                    *upper = mr_trial_floats(t, dy, N);
    const mr_tensor *out = mr_trial_floats(t, NULL, N), *grad = mr_trial_floats(t, NULL, N);
    const mr_tensor *grad_gate = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_silu_gate_forward(t->rt, in, gate, out, N));
    mr_trial_run(t, mr_silu_gate_backward(t->rt, in, gate, upper, grad, grad_gate, N));
    mr_ref_silu_gate_forward(x, g, y, N);
    mr_ref_silu_gate_backward(x, g, dy, dx, dg, N);
    mr_trial_compare(t, out, y, N);
    mr_trial_compare(t, grad, dx, N);
    mr_trial_compare(t, grad_gate, dg, N);
}

void mr_case_dropout(struct mr_trial *t)
{
    const struct mr_dropout d = {.p = 0.3f, .seed = 0x123456789abcdefull, .step = 1ull << 33, .site = 5};
    double *x = mr_trial_random(t, N, 1), *y = mr_trial_zeros(t, N);
    const mr_tensor *out = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_dropout_apply(t->rt, &d, mr_trial_floats(t, x, N), out, N));
    mr_ref_dropout(d.p, d.seed, d.step, d.site, x, y, N);
    mr_trial_compare(t, out, y, N);
}

void mr_case_cross_entropy(struct mr_trial *t)
{
    double *logits = mr_trial_random(t, N, 3), *losses = mr_trial_zeros(t, ROWS), *dlogits = mr_trial_zeros(t, N);
    int32_t *targets = mr_trial_integers(t, ROWS, -1, DIM - 1);
    const mr_tensor *in = mr_trial_floats(t, logits, N), *rows = mr_trial_floats(t, NULL, ROWS);
    const mr_tensor *mean = mr_trial_floats(t, NULL, 1);
    mr_trial_run(
        t, mr_cross_entropy(t->rt, in, mr_trial_ints(t, targets, ROWS), rows, 0, ROWS, DIM, 1.0f / ROWS, true, 0));
    mr_trial_run(t, mr_mean_loss(t->rt, rows, mean, ROWS, 1.0f / ROWS));
    mr_ref_cross_entropy(logits, targets, losses, dlogits, ROWS, DIM, 1.0 / ROWS, 0);
    double loss = mr_ref_mean_loss(losses, ROWS, 1.0 / ROWS);
    mr_trial_compare(t, rows, losses, ROWS);
    mr_trial_compare(t, in, dlogits, N);
    mr_trial_compare(t, mean, &loss, 1);
}

void mr_case_adamw(struct mr_trial *t)
{
    const struct mr_adamw s = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .step = 3};
    double *p = mr_trial_random(t, N, 1), *g = mr_trial_random(t, N, 1), *m = mr_trial_random(t, N, 0.1);
    double *v = mr_trial_random(t, N, 0.1);
    for (int i = 0; i < N; i++)
        v[i] = (float)(v[i] * v[i]);
    const mr_tensor *dp = mr_trial_floats(t, p, N), *dg = mr_trial_floats(t, g, N), *dm = mr_trial_floats(t, m, N);
    const mr_tensor *dv = mr_trial_floats(t, v, N), *norm = mr_trial_floats(t, NULL, 1),
                    *clip = mr_trial_floats(t, NULL, 1);
    const mr_tensor *sums = mr_trial_floats(t, NULL, mr_square_sum_partials(N));
    mr_trial_run(t, mr_square_sum(t->rt, dg, 0, N, sums, 0));
    mr_trial_run(t, mr_clip_factor(t->rt, sums, mr_square_sum_partials(N), 1, norm, clip));
    double none[4] = {0};
    const mr_tensor *loss = mr_trial_floats(t, NULL, 1), *report = mr_trial_floats(t, none, 4);
    mr_trial_run(t, mr_gather_loss(t->rt, norm, clip, loss, true)); /* any two numbers */
    mr_trial_run(t, mr_guard_update(t->rt, loss, norm, clip, report));
    mr_trial_run(t, mr_adamw(t->rt, &s, dp, dg, dm, dv, 0, N, clip));
    double length = mr_ref_norm(g, N), factor = mr_ref_clip_factor(length, 1);
    const double told[4] = {length + factor, length, 1, 0};
    mr_ref_adamw(s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.step, p, g, m, v, N, factor);
    mr_trial_compare(t, norm, &length, 1);
    mr_trial_compare(t, clip, &factor, 1);
    mr_trial_compare(t, report, told, 4);
    mr_trial_compare(t, dp, p, N);
    mr_trial_compare(t, dm, m, N);
    mr_trial_compare(t, dv, v, N);
}
