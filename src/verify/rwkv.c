/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/cases.h"

#include "ops/dynamic_shift.h"
#include "ops/wkv4.h"
#include "ops/wkv6.h"
#include "ops/wkv7.h"
#include "ref/dynamic_shift.h"
#include "ref/wkv4.h"
#include "ref/wkv6.h"
#include "ref/wkv7.h"

void mr_case_dynamic_shift(struct mr_trial *t)
{
    enum { B = 3, T = 13, C = 45, R = B * T * C };
    double *x = mr_trial_random(t, R, 1), *previous = mr_trial_random(t, B * C, 1), *maa = mr_trial_random(t, 5 * C, 1);
    double *m = mr_trial_random(t, 5 * R, 1), *want = mr_trial_zeros(t, 5 * R);
    const mr_tensor *mixed = mr_trial_floats(t, m, 5 * R), *vectors[5];
    for (int k = 0; k < 5; k++) {
        vectors[k] = mr_trial_floats(t, maa + k * C, C);
        mr_ref_dynamic_shift_forward(x, previous, maa + k * C, m + k * R, want + k * R, B, T, C);
    }
    mr_trial_run(t, mr_dynamic_shift_forward(t->rt, mr_trial_floats(t, x, R), mr_trial_floats(t, previous, B * C),
                                             vectors, mixed, B, T, C));
    mr_trial_compare(t, mixed, want, 5 * R);
}

/* The step, from the narrow side of the pairs. */
void mr_case_dynamic_shift_step(struct mr_trial *t)
{
    enum { R = 3, E = 7, C = 45, N = R * C, K = MR_DYNAMIC_MIXTURES };
    double *mixes = mr_trial_random(t, 3 * N, 1), *low = mr_trial_random(t, R * K * E, 0.5);
    double *w2 = mr_trial_random(t, K * E * C, 0.5), *maa = mr_trial_random(t, K * C, 1);
    double *m = mr_trial_zeros(t, N), *before = mr_trial_zeros(t, N), *want = mr_trial_zeros(t, K * N);
    const mr_tensor *vectors[K], *mixed = mr_trial_floats(t, NULL, K * N);
    for (int i = 0; i < N; i++)
        before[i] = mixes[N + i] + mixes[2 * N + i];
    for (int k = 0; k < K; k++) {
        vectors[k] = mr_trial_floats(t, maa + k * C, C);
        for (int i = 0; i < N; i++) {
            m[i] = 0;
            for (int e = 0; e < E; e++)
                m[i] += low[(i / C * K + k) * E + e] * w2[(k * E + e) * C + i % C];
        }
        mr_ref_dynamic_shift_forward(mixes + N, before, maa + k * C, m, want + k * N, R, 1, C);
    }
    mr_trial_run(t, mr_dynamic_shift_step(t->rt, mr_trial_floats(t, mixes, 3 * N), mr_trial_floats(t, low, R * K * E),
                                          mr_trial_floats(t, w2, K * E * C), vectors, mixed, R, E, C));
    mr_trial_compare(t, mixed, want, K * N);
}

void mr_case_wkv4(struct mr_trial *t)
{
    enum { B = 2, T = 37, C = 75, R = B * T * C, S = 3 * B * C };
    const struct mr_wkv4 s = {B, T, C};
    double *k = mr_trial_random(t, R, 1), *v = mr_trial_random(t, R, 1), *decay = mr_trial_random(t, C, 1);
    double *first = mr_trial_random(t, C, 1), *state = mr_trial_zeros(t, S), *y = mr_trial_zeros(t, R);
    const mr_tensor *carried = mr_trial_floats(t, state, S), *out = mr_trial_floats(t, NULL, R);
    mr_trial_run(t, mr_wkv4_forward(t->rt, &s, mr_trial_floats(t, k, R), mr_trial_floats(t, v, R),
                                    mr_trial_floats(t, decay, C), mr_trial_floats(t, first, C), carried, out));
    mr_ref_wkv4_forward(k, v, decay, first, state, y, B, T, C);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, carried, state, S);
}

void mr_case_wkv6(struct mr_trial *t)
{
    enum { B = 2, T = 37, H = 3, W = 24, C = H * W, R = B * T * C, S = B * C * W };
    const struct mr_wkv6 s = {.batch = B, .time = T, .heads = H, .width = W, .varies = true},
                         fixed = {B, T, H, W, false};
    double *x[3], *d = mr_trial_random(t, C, 1), *lora = mr_trial_random(t, R, 1), *u = mr_trial_random(t, C, 1);
    double *state = mr_trial_random(t, S, 1), *w = mr_trial_zeros(t, R), *y = mr_trial_zeros(t, R);
    const mr_tensor *in[3], *change = mr_trial_floats(t, NULL, R), *bonus = mr_trial_floats(t, u, C);
    const mr_tensor *carried = mr_trial_floats(t, state, S), *out = mr_trial_floats(t, NULL, R);
    for (int i = 0; i < 3; i++) {
        x[i] = mr_trial_random(t, R, 1);
        in[i] = mr_trial_floats(t, x[i], R);
    }
    mr_trial_run(t, mr_wkv6_change(t->rt, &s, mr_trial_floats(t, d, C), mr_trial_floats(t, lora, R), change));
    mr_trial_run(t, mr_wkv6_forward(t->rt, &s, in[0], in[1], in[2], change, bonus, carried, out, NULL));
    mr_ref_wkv6_decay(d, lora, w, B * T, C);
    mr_ref_wkv6_forward(x[0], x[1], x[2], w, u, state, y, B, T, H, W, true);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, carried, state, S);

    mr_trial_run(t, mr_wkv6_heads(t->rt, &fixed, mr_trial_floats(t, d, H), mr_trial_floats(t, lora, H), change, bonus));
    mr_trial_run(t, mr_wkv6_forward(t->rt, &fixed, in[0], in[1], in[2], change, bonus, carried, out, NULL));
    mr_ref_wkv6_heads(d, lora, w, u, H, W);
    mr_ref_wkv6_forward(x[0], x[1], x[2], w, u, state, y, B, T, H, W, false);
    mr_trial_compare(t, out, y, R);
    mr_trial_compare(t, carried, state, S);
}

void mr_case_wkv7(struct mr_trial *t)
{
    enum { IN_R, IN_W, IN_K, IN_V, IN_A, FIRST, SHARE, GATE, ALL };
    enum { B = 2, T = 37, H = 3, W = 24, C = H * W, R = B * T * C, S = B * C * W };
    const struct mr_wkv7 s = {B, T, H, W};
    double *x[ALL], *vector[3], *state = mr_trial_random(t, S, 1), *y = mr_trial_zeros(t, R),
                                *kappa = mr_trial_zeros(t, R);
    const mr_tensor *in[ALL], *per_channel[3], *carried = mr_trial_floats(t, state, S),
                                               *out = mr_trial_floats(t, NULL, R);
    const mr_tensor *removal_key = mr_trial_floats(t, NULL, R);
    for (int i = 0; i < ALL; i++) {
        x[i] = mr_trial_random(t, R, 1);
        in[i] = mr_trial_floats(t, x[i], R);
    }
    for (int i = 0; i < 3; i++) {
        vector[i] = mr_trial_random(t, C, 1);
        per_channel[i] = mr_trial_floats(t, vector[i], C);
    }
    const struct mr_wkv7_inputs inputs = {.w = in[IN_W],
                                          .a = in[IN_A],
                                          .k = in[IN_K],
                                          .v = in[IN_V],
                                          .v_first = in[FIRST],
                                          .share = in[SHARE],
                                          .k_k = per_channel[0],
                                          .k_a = per_channel[1],
                                          .change = in[IN_W],
                                          .removal = in[IN_A],
                                          .key = in[IN_K],
                                          .value = in[IN_V],
                                          .kappa = removal_key};
    mr_trial_run(t, mr_wkv7_inputs(t->rt, &s, &inputs));
    mr_trial_run(t, mr_wkv7_forward(t->rt, &s, in[IN_R], in[IN_W], in[IN_K], in[IN_V], removal_key, in[IN_A], carried,
                                    out, NULL));
    mr_trial_run(t, mr_wkv7_output(t->rt, &s, in[IN_R], in[IN_K], in[IN_V], per_channel[2], in[GATE], out, out));
    mr_ref_wkv7_inputs(x[IN_W], x[IN_A], x[IN_K], x[IN_V], kappa, x[FIRST], x[SHARE], vector[0], vector[1], B * T, H,
                       W);
    mr_ref_wkv7_forward(x[IN_R], x[IN_W], x[IN_K], x[IN_V], kappa, x[IN_A], state, y, B, T, H, W);
    mr_ref_wkv7_output(x[IN_R], x[IN_K], x[IN_V], vector[2], x[GATE], y, B * T, H, W);
    mr_trial_compare(t, removal_key, kappa, R);
    mr_trial_compare(t, carried, state, S);
    mr_trial_compare(t, out, y, R);
}
