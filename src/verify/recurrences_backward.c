/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrences of RWKV-4 to 6, and of RWKV-6's token shift. */
#include <math.h>

#include "ops/dynamic_shift.h"
#include "ops/wkv4.h"
#include "ops/wkv6_backward.h"
#include "ref/dynamic_shift.h"
#include "ref/wkv4.h"
#include "ref/wkv6_backward.h"
#include "verify/cases.h"

void mr_case_wkv4_backward(struct mr_trial *t)
{
    enum { B = 2, T = 37, C = 75, R = B * T * C, S = 3 * B * C };
    const struct mr_wkv4 s = {B, T, C};
    double *k = mr_trial_random(t, R, 1), *v = mr_trial_random(t, R, 1), *decay = mr_trial_random(t, C, 1);
    double *first = mr_trial_random(t, C, 1), *dy = mr_trial_random(t, R, 1), *state = mr_trial_zeros(t, S);
    double *dk = mr_trial_zeros(t, R), *dv = mr_trial_zeros(t, R), *d[2] = {mr_trial_zeros(t, C), mr_trial_zeros(t, C)};
    double *dstate = mr_trial_zeros(t, S);
    const mr_tensor *to[2] = {mr_trial_floats(t, d[0], C), mr_trial_floats(t, d[1], C)};
    const struct mr_wkv4_inputs x = {mr_trial_floats(t, k, R),     mr_trial_floats(t, v, R),
                                     mr_trial_floats(t, decay, C), mr_trial_floats(t, first, C),
                                     mr_trial_floats(t, state, S), mr_trial_floats(t, NULL, R)};
    const struct mr_wkv4_gradients g = {
        mr_trial_floats(t, dy, R),          mr_trial_floats(t, NULL, R), mr_trial_floats(t, NULL, R), to[0], to[1],
        mr_trial_floats(t, NULL, S / 3 * 2)};
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_wkv4_backward_scratch(&s));
    const struct mr_ref_wkv4 ref = {B, T, C, k, v, decay, first, state};
    const struct mr_ref_wkv4_gradients want = {dy, dk, dv, d[0], d[1], dstate};
    mr_trial_run(t, mr_wkv4_forward(t->rt, &s, x.k, x.v, x.decay, x.first, mr_trial_floats(t, state, S), x.y));
    mr_trial_run(t, mr_wkv4_backward(t->rt, &s, &x, &g, scratch));
    if (t->result < 0)
        return;
    mr_ref_wkv4_backward(&ref, &want);
    mr_trial_compare(t, g.dk, dk, R);
    mr_trial_compare(t, g.dv, dv, R);
    mr_trial_compare(t, to[0], d[0], C);
    mr_trial_compare(t, to[1], d[1], C);
}

enum { B = 2, T = 21, H = 2, W = 24, C = H * W, R = B * T * C, S = B * C * W };

/* With a decay that varies, or a fixed one: what it takes then is the first position's. */
static void case_wkv6(struct mr_trial *t, bool varies)
{
    enum { IN_R, IN_K, IN_V, CHANGE, U, DY, ALL };
    const struct mr_wkv6 s = {B, T, H, W, varies};
    double *x[ALL], *d[ALL], *w = mr_trial_zeros(t, R), *state = mr_trial_random(t, S, 1);
    double *last = mr_trial_random(t, S, 1);
    const mr_tensor *in[ALL], *out[ALL];
    for (int i = 0; i < ALL; i++) {
        x[i] = mr_trial_random(t, R, 1);
        d[i] = mr_trial_zeros(t, R);
    }
    if (t->result < 0)
        return;
    for (int i = 0; i < R; i++) {
        x[CHANGE][i] = (float)(-1 / (1 + exp(-x[CHANGE][i])));
        w[i] = 1 + x[CHANGE][i];
    }
    for (int i = 0; i < ALL; i++) {
        in[i] = mr_trial_floats(t, x[i], R);
        out[i] = mr_trial_floats(t, d[i], R);
    }
    const mr_tensor *dstate = mr_trial_floats(t, last, S), *kept = mr_trial_floats(t, NULL, mr_wkv6_kept(&s));
    const mr_tensor *ends = mr_trial_floats(t, NULL, mr_wkv6_kept(&s));
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_wkv6_backward_scratch(&s));
    const struct mr_wkv6_recurrence of = {in[IN_R], in[IN_K], in[IN_V], in[CHANGE], in[U], kept};
    const struct mr_wkv6_gradients g = {in[DY], out[IN_R], out[IN_K], out[IN_V], out[CHANGE], out[U], dstate};
    const struct mr_ref_wkv6 ref = {B, T, H, W, varies, x[IN_R], x[IN_K], x[IN_V], w, x[U], state};
    const struct mr_ref_wkv6_gradients want = {x[DY], d[IN_R], d[IN_K], d[IN_V], d[CHANGE], d[U], last};
    mr_trial_run(
        t, mr_wkv6_forward(t->rt, &s, of.r, of.k, of.v, of.change, of.u, mr_trial_floats(t, state, S), out[DY], kept));
    mr_trial_run(t, mr_wkv6_backward(t->rt, &s, &of, &g, ends, scratch));
    mr_ref_wkv6_backward(&ref, &want);
    for (int i = 0; i < U; i++)
        mr_trial_compare(t, out[i], d[i], i == CHANGE && !varies ? C : R);
    mr_trial_compare(t, out[U], d[U], C);
    mr_trial_compare(t, dstate, last, S);
}

static void case_decay(struct mr_trial *t)
{
    const struct mr_wkv6 s = {B, T, H, W, true}, fixed = {B, T, H, W, false};
    double *decay = mr_trial_random(t, C, 1), *x = mr_trial_random(t, R, 1), *d = mr_trial_random(t, R, 1);
    double *first = mr_trial_random(t, H, 1), *du = mr_trial_random(t, C, 1), *to[2];
    const mr_tensor *dx = mr_trial_floats(t, d, R), *in = mr_trial_floats(t, decay, C);
    to[0] = mr_trial_random(t, H, 1);
    to[1] = mr_trial_random(t, H, 1);
    const struct mr_wkv6_heads_gradients g = {mr_trial_floats(t, d, C), mr_trial_floats(t, du, C),
                                              mr_trial_floats(t, to[0], H), mr_trial_floats(t, to[1], H)};
    mr_trial_run(t, mr_wkv6_change_backward(t->rt, &s, in, mr_trial_floats(t, x, R), dx));
    mr_trial_run(t, mr_wkv6_heads_backward(t->rt, &fixed, in, mr_trial_floats(t, first, H), &g));
    if (t->result < 0)
        return;
    mr_ref_wkv6_heads_backward(decay, first, d, du, to[0], to[1], H, W);
    mr_ref_wkv6_decay_backward(decay, x, d, B * T, C);
    mr_trial_compare(t, dx, d, R);
    mr_trial_compare(t, g.ddecay, to[0], H);
    mr_trial_compare(t, g.dfirst, to[1], H);
}

void mr_case_wkv6_backward(struct mr_trial *t)
{
    case_wkv6(t, true);
    mr_trial_forget(t);
    case_wkv6(t, false);
    mr_trial_forget(t);
    case_decay(t);
}

void mr_case_dynamic_shift_backward(struct mr_trial *t)
{
    enum { K = MR_DYNAMIC_MIXTURES };
    double *x = mr_trial_random(t, R, 1), *maa = mr_trial_random(t, K * C, 1), *m = mr_trial_random(t, K * R, 1);
    double *dout = mr_trial_random(t, K * R, 1), *dx = mr_trial_zeros(t, R), *dmaa = mr_trial_zeros(t, K * C);
    double *dm = mr_trial_zeros(t, K * R);
    struct mr_dynamic_shift_gradients g = {.dmixed = mr_trial_floats(t, dout, K * R),
                                           .dx = mr_trial_floats(t, NULL, R)};
    const mr_tensor *in[K], *scratch = mr_trial_floats(t, NULL, mr_dynamic_shift_backward_scratch(t->rt, B, T, C));
    if (t->result < 0)
        return;
    for (int k = 0; k < K; k++) {
        in[k] = mr_trial_floats(t, maa + k * C, C);
        g.dmaa[k] = mr_trial_floats(t, dmaa + k * C, C);
    }
    mr_trial_run(t, mr_dynamic_shift_backward(t->rt, mr_trial_floats(t, x, R), in, mr_trial_floats(t, m, K * R), &g,
                                              scratch, B, T, C));
    for (int k = 0; k < K; k++) {
        const struct mr_ref_dynamic_shift_gradients want = {dout + k * R, dx, dmaa + k * C, dm + k * R};
        mr_ref_dynamic_shift_backward(x, maa + k * C, m + k * R, &want, B, T, C);
        mr_trial_compare(t, g.dmaa[k], dmaa + k * C, C);
    }
    mr_trial_compare(t, g.dx, dx, R);
    mr_trial_compare(t, g.dmixed, dm, K * R);
}
