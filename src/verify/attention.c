/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/cases.h"

#include <string.h>

#include "ops/reference_attention.h"
#include "ops/window_attention.h"
#include "ref/dropout.h"
#include "ref/reference_attention.h"
#include "ref/window_attention.h"

enum { B = 2, T = 37, H = 3, D = 20, C = H * D, W = 11, R = B * T * C };

/* Columns `part` of 3 of rows of 3 C. */
static void take(const double *qkv, int part, double *to)
{
    for (int row = 0; row < B * T; row++)
        memcpy(to + row * C, qkv + (row * 3 + part) * C, C * sizeof *to);
}

static void put(double *qkv, int part, const double *from)
{
    for (int row = 0; row < B * T; row++)
        memcpy(qkv + (row * 3 + part) * C, from + row * C, C * sizeof *from);
}

/* The factors [B,H,T,T] of dropout, drawn as the kernels draw them. */
static double *factors(struct mr_trial *t, const struct mr_dropout *d, size_t words)
{
    size_t rows = (size_t)B * H * T, width = words / rows * 32;
    double *all = mr_trial_zeros(t, rows * width), *factor = mr_trial_zeros(t, rows * T);
    for (size_t i = 0; i < rows * width; i++)
        all[i] = 1;
    mr_ref_dropout(d->p, d->seed, d->step, d->site, all, all, rows * width);
    for (size_t row = 0; row < rows; row++)
        memcpy(factor + row * T, all + row * width, T * sizeof *all);
    return factor;
}

static void window_attention(struct mr_trial *t, const struct mr_dropout *dropout)
{
    struct mr_window_attention s = {B, T, H, D, W, 0.25f, 3 * C, 0, C, 2 * C, 0, dropout, NULL};
    double *qkv = mr_trial_random(t, 3 * R, 1), *dy = mr_trial_random(t, R, 1), *y = mr_trial_zeros(t, R);
    double *x[3], *dx[3], *dqkv = mr_trial_zeros(t, 3 * R), *lse = mr_trial_zeros(t, (size_t)B * H * T);
    const double *factor = dropout ? factors(t, dropout, mr_window_attention_kept(&s)) : NULL;
    const mr_tensor *in = mr_trial_floats(t, qkv, 3 * R), *out = mr_trial_floats(t, NULL, R);
    const mr_tensor *upper = mr_trial_floats(t, dy, R), *grad = mr_trial_floats(t, NULL, 3 * R);
    const mr_tensor *denominators = mr_trial_floats(t, NULL, (size_t)B * H * T);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_window_attention_scratch(&s));
    s.kept = mr_trial_floats(t, NULL, mr_window_attention_kept(&s));
    for (int i = 0; i < 3; i++) {
        x[i] = mr_trial_zeros(t, R);
        dx[i] = mr_trial_zeros(t, R);
        take(qkv, i, x[i]);
    }
    mr_trial_run(t, mr_window_attention_forward(t->rt, &s, in, NULL, NULL, out, denominators));
    mr_trial_run(t, mr_window_attention_backward(t->rt, &s, in, out, denominators, upper, grad, scratch));
    mr_ref_window_attention_forward(x[0], x[1], x[2], y, lse, B, T, H, D, W, 0.25, factor);
    mr_ref_window_attention_backward(x[0], x[1], x[2], dy, dx, B, T, H, D, W, 0.25, factor);
    for (int i = 0; i < 3; i++)
        put(dqkv, i, dx[i]);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, denominators, lse, (size_t)B * H * T);
    mr_trial_compare(t, grad, dqkv, 3 * R);
}

/* A text in two pieces, the first one larger than the window: the second sees it in the rings. */
static void pieces(struct mr_trial *t)
{
    enum { FIRST = 20, ROW = 3 * C };
    double *qkv = mr_trial_random(t, 3 * R, 1), *y = mr_trial_zeros(t, R), *x[3];
    const mr_tensor *k = mr_trial_floats(t, NULL, B * W * C), *v = mr_trial_floats(t, NULL, B * W * C);
    for (int i = 0; i < 3; i++) {
        x[i] = mr_trial_zeros(t, R);
        take(qkv, i, x[i]);
    }
    mr_ref_window_attention_forward(x[0], x[1], x[2], y, NULL, B, T, H, D, W, 0.25, NULL);
    for (int from = 0; from < T; from += FIRST) {
        int count = from ? T - FIRST : FIRST;
        double *part = mr_trial_zeros(t, (size_t)B * (size_t)count * ROW);
        double *want = mr_trial_zeros(t, (size_t)B * (size_t)count * C);
        for (int b = 0; b < B; b++) {
            memcpy(part + b * count * ROW, qkv + (b * T + from) * ROW, (size_t)count * ROW * sizeof *part);
            memcpy(want + b * count * C, y + (b * T + from) * C, (size_t)count * C * sizeof *want);
        }
        struct mr_window_attention s = {B, count, H, D, W, 0.25f, ROW, 0, C, 2 * C, from, NULL, NULL};
        const mr_tensor *in = mr_trial_floats(t, part, (size_t)B * (size_t)count * ROW);
        const mr_tensor *out = mr_trial_floats(t, NULL, (size_t)B * (size_t)count * C);
        mr_trial_run(t, mr_window_attention_forward(t->rt, &s, in, k, v, out, NULL));
        mr_trial_run(t, mr_window_attention_append(t->rt, &s, in, k, v));
        mr_trial_compare(t, out, want, (size_t)B * (size_t)count * C);
    }
}

void mr_case_window_attention(struct mr_trial *t)
{
    const struct mr_dropout dropout = {.p = 0.3f, .seed = 0x123456789abcdefull, .step = 1ull << 33, .site = 5};
    window_attention(t, NULL);
    window_attention(t, &dropout);
    pieces(t);
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
