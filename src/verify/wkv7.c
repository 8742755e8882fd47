/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of RWKV-7's recurrence and of what surrounds it. */
#include <math.h>
#include <string.h>

#include "ops/wkv7_around.h"
#include "ops/wkv7_backward.h"
#include "ref/wkv7_around.h"
#include "ref/wkv7_backward.h"
#include "verify/cases.h"

enum { B = 2, T = 21, H = 2, W = 24, C = H * W, R = B * T * C, S = B * C * W };

static const struct mr_wkv7 shape = {B, T, H, W};

/* Changes as decays have them, and directions of length 1. */
static void make_real(double *change, double *kappa, double *removal)
{
    for (int i = 0; i < R; i++)
        change[i] = (float)(-0.45 / (1 + exp(-change[i])));
    for (int head = 0; head < R; head += W) {
        double squares = 0;
        for (int i = head; i < head + W; i++)
            squares += kappa[i] * kappa[i];
        for (int i = head; i < head + W; i++) {
            kappa[i] = (float)(kappa[i] / sqrt(squares));
            removal[i] = (float)(kappa[i] / (1 + exp(-removal[i])));
        }
    }
}

void mr_case_wkv7_backward(struct mr_trial *t)
{
    enum { IN_R, CHANGE, IN_K, IN_V, KAPPA, REMOVAL, DY, ALL };
    double *x[ALL], *d[ALL], *w = mr_trial_zeros(t, R), *state = mr_trial_random(t, S, 1);
    double *last = mr_trial_random(t, S, 1), *zero = mr_trial_zeros(t, R);
    const mr_tensor *in[ALL], *out[ALL];
    for (int i = 0; i < ALL; i++) {
        x[i] = mr_trial_random(t, R, 1);
        d[i] = mr_trial_zeros(t, R);
    }
    if (t->result < 0)
        return;
    make_real(x[CHANGE], x[KAPPA], x[REMOVAL]);
    for (int i = 0; i < R; i++)
        w[i] = 1 + x[CHANGE][i];
    for (int i = 0; i < ALL; i++) {
        in[i] = mr_trial_floats(t, x[i], R);
        out[i] = mr_trial_floats(t, zero, R);
    }
    const mr_tensor *carried = mr_trial_floats(t, state, S), *dstate = mr_trial_floats(t, last, S);
    const mr_tensor *kept = mr_trial_floats(t, NULL, mr_wkv7_kept(t->rt, &shape));
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_wkv7_backward_scratch(t->rt, &shape));
    const struct mr_wkv7_recurrence of = {in[IN_R], in[CHANGE], in[IN_K], in[IN_V], in[KAPPA], in[REMOVAL], kept};
    const struct mr_wkv7_gradients g = {in[DY],    out[IN_R],  out[CHANGE],  out[IN_K],
                                        out[IN_V], out[KAPPA], out[REMOVAL], dstate};
    const struct mr_ref_wkv7 ref = {B, T, H, W, x[IN_R], w, x[IN_K], x[IN_V], x[KAPPA], x[REMOVAL], state};
    const struct mr_ref_wkv7_gradients want = {x[DY], d[IN_R], d[CHANGE], d[IN_K], d[IN_V], d[KAPPA], d[REMOVAL], last};
    mr_trial_run(t, mr_wkv7_forward(t->rt, &shape, in[IN_R], in[CHANGE], in[IN_K], in[IN_V], in[KAPPA], in[REMOVAL],
                                    carried, out[DY], kept));
    mr_trial_run(t, mr_wkv7_backward(t->rt, &shape, &of, &g, scratch));
    mr_ref_wkv7_backward(&ref, &want);
    for (int i = 0; i < DY; i++)
        mr_trial_compare(t, out[i], d[i], R);
    mr_trial_compare(t, dstate, last, S);
}

static void case_inputs(struct mr_trial *t)
{
    enum { IN_W, IN_A, IN_K, IN_V, FIRST, SHARE, IN };
    enum { CHANGE, REMOVAL, KEY, VALUE, DSHARE, DFIRST, KAPPA, OUT };
    double *x[IN], *d[OUT], *vector[4];
    const mr_tensor *in[IN], *out[OUT], *per_channel[4];
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_wkv7_around_scratch(t->rt, &shape));
    for (int i = 0; i < IN; i++)
        in[i] = mr_trial_floats(t, x[i] = mr_trial_random(t, R, 1), R);
    for (int i = 0; i < OUT; i++)
        out[i] = mr_trial_floats(t, d[i] = mr_trial_random(t, R, 1), R);
    for (int i = 0; i < 4; i++)
        per_channel[i] = mr_trial_floats(t, vector[i] = mr_trial_random(t, C, 1), C);
    const struct mr_wkv7_inputs of = {.w = in[IN_W],
                                      .a = in[IN_A],
                                      .k = in[IN_K],
                                      .v = in[IN_V],
                                      .v_first = in[FIRST],
                                      .share = in[SHARE],
                                      .k_k = per_channel[0],
                                      .k_a = per_channel[1]};
    const struct mr_wkv7_inputs_gradients g = {out[CHANGE], out[REMOVAL], out[KEY],       out[VALUE],    out[KAPPA],
                                               out[DSHARE], out[DFIRST],  per_channel[2], per_channel[3]};
    const struct mr_ref_wkv7_inputs ref = {B * T,   H,        W,        x[IN_W],   x[IN_A],  x[IN_K],
                                           x[IN_V], x[FIRST], x[SHARE], vector[0], vector[1]};
    const struct mr_ref_wkv7_inputs_gradients want = {d[CHANGE], d[REMOVAL], d[KEY],    d[VALUE], d[DSHARE],
                                                      d[DFIRST], vector[2],  vector[3], d[KAPPA]};
    mr_trial_run(t, mr_wkv7_inputs_backward(t->rt, &shape, &of, &g, scratch));
    if (t->result < 0)
        return;
    mr_ref_wkv7_inputs_backward(&ref, &want);
    for (int i = 0; i < KAPPA; i++)
        mr_trial_compare(t, out[i], d[i], R);
    mr_trial_compare(t, per_channel[2], vector[2], C);
    mr_trial_compare(t, per_channel[3], vector[3], C);
}

static void case_output(struct mr_trial *t)
{
    enum { IN_R, IN_K, IN_V, GATE, IN_X, ALL };
    double *x[ALL], *d[ALL], *dy = mr_trial_random(t, R, 1), *bonus = mr_trial_random(t, C, 1);
    double *dbonus = mr_trial_zeros(t, C);
    const mr_tensor *in[ALL], *out[ALL], *sum = mr_trial_floats(t, dbonus, C);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_wkv7_around_scratch(t->rt, &shape));
    for (int i = 0; i < ALL; i++) {
        in[i] = mr_trial_floats(t, x[i] = mr_trial_random(t, R, 1), R);
        out[i] = mr_trial_floats(t, NULL, R);
        d[i] = mr_trial_zeros(t, R);
    }
    const struct mr_wkv7_output of = {in[IN_R], in[IN_K], in[IN_V], mr_trial_floats(t, bonus, C), in[GATE], in[IN_X]};
    const struct mr_wkv7_output_gradients g = {
        mr_trial_floats(t, dy, R), out[IN_R], out[IN_K], out[IN_V], out[GATE], out[IN_X], sum};
    const struct mr_ref_wkv7_output ref = {B * T, H, W, x[IN_R], x[IN_K], x[IN_V], bonus, x[GATE], x[IN_X]};
    const struct mr_ref_wkv7_output_gradients want = {dy, d[IN_R], d[IN_K], d[IN_V], d[GATE], d[IN_X], dbonus};
    mr_trial_run(t, mr_wkv7_output_backward(t->rt, &shape, &of, &g, scratch));
    if (t->result < 0)
        return;
    mr_ref_wkv7_output_backward(&ref, &want);
    for (int i = 0; i < ALL; i++)
        mr_trial_compare(t, out[i], d[i], R);
    mr_trial_compare(t, sum, dbonus, C);
}

void mr_case_wkv7_around(struct mr_trial *t)
{
    case_inputs(t);
    mr_trial_forget(t);
    case_output(t);
}
