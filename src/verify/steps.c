/* SPDX-License-Identifier: GPL-3.0-or-later
 * The fused kernels of a decoding step: two texts, whose states are the last and the first of three slots. */
#include "verify/cases.h"

#include <string.h>

#include "ops/attention_step.h"
#include "ops/mixture_step.h"
#include "ops/norm_shift.h"
#include "ops/place.h"
#include "ops/rotary.h"
#include "ops/top.h"
#include "ops/wkv4.h"
#include "ops/wkv6_step.h"
#include "ops/wkv7_step.h"
#include "ref/attention_step.h"
#include "ref/channel_mix.h"
#include "ref/mixture_step.h"
#include "ref/norm_shift.h"
#include "ref/place.h"
#include "ref/rotary.h"
#include "ref/top.h"
#include "ref/wkv4.h"
#include "ref/wkv6_step.h"
#include "ref/wkv7_step.h"

enum { ROWS = 2, SLOTS = 3 };
static const int32_t slot_of[ROWS] = {2, 0};

/* The states [R,size] in their slots; the slot between holds zeros. */
static double *in_slots(struct mr_trial *t, const double *states, size_t size)
{
    double *all = mr_trial_zeros(t, SLOTS * size);
    for (int row = 0; row < ROWS; row++)
        memcpy(all + (size_t)slot_of[row] * size, states + (size_t)row * size, size * sizeof *all);
    return all;
}

static struct mr_slots slots_with(struct mr_trial *t, const double *states, size_t size)
{
    return (struct mr_slots){mr_trial_floats(t, in_slots(t, states, size), SLOTS * size),
                             mr_trial_ints(t, slot_of, ROWS), (int)size};
}

static void compare_states(struct mr_trial *t, const struct mr_slots *slots, const double *states, size_t size)
{
    mr_trial_compare(t, slots->state, in_slots(t, states, size), SLOTS * size);
}

static void norm_shift(struct mr_trial *t, int count, enum mr_norm_kind norm, bool keeps, bool rest)
{
    enum { C = 75, MOST = 6, N = ROWS * C };
    size_t results = (size_t)(rest ? count + 2 : count) * N;
    double *x = mr_trial_random(t, N, 1), *weight = mr_trial_random(t, C, 1), *bias = mr_trial_random(t, C, 1);
    double *maa[MOST], *state = mr_trial_random(t, N, 1), *want = mr_trial_zeros(t, results);
    const mr_tensor *share[MOST], *out = mr_trial_floats(t, NULL, results);
    for (int k = 0; k < count; k++) {
        maa[k] = mr_trial_random(t, C, 1);
        share[k] = mr_trial_floats(t, maa[k], C);
    }
    const struct mr_norm_shift s = {.rows = ROWS,
                                    .dim = C,
                                    .count = count,
                                    .keeps = keeps,
                                    .rest = rest,
                                    .norm = norm,
                                    .weight = mr_trial_floats(t, weight, C),
                                    .bias = mr_trial_floats(t, bias, C),
                                    .eps = 1e-5f,
                                    .slots = slots_with(t, state, C)};
    const struct mr_ref_norm_shift ref = {ROWS, 1, C, count, (int)norm, keeps, rest, 1e-5, weight, bias};
    mr_trial_run(t, mr_norm_shift_step(t->rt, &s, mr_trial_floats(t, x, N), share, out));
    mr_ref_norm_shift(&ref, x, (const double *const *)maa, state, want);
    mr_trial_compare(t, out, want, results);
    compare_states(t, &s.slots, state, C);
    mr_trial_forget(t);
}

/* What the families' layers have. */
void mr_case_norm_shift(struct mr_trial *t)
{
    static const enum mr_norm_kind small[] = {MR_NORM_RMS, MR_NORM_NONE}; /* MicroRWKV */
    for (int i = 0; i < 2; i++) {
        norm_shift(t, 2, small[i], false, false);
        norm_shift(t, 5, small[i], false, false);
    }
    for (int count = 2; count <= 4; count++) /* RWKV-4 and 5 */
        norm_shift(t, count, MR_NORM_LAYER, true, false);
    norm_shift(t, 1, MR_NORM_LAYER, false, true); /* RWKV-6 */
    norm_shift(t, 2, MR_NORM_LAYER, false, false);
    norm_shift(t, 1, MR_NORM_LAYER, false, false); /* RWKV-7 */
    norm_shift(t, 6, MR_NORM_LAYER, false, false);
}

void mr_case_wkv4_step(struct mr_trial *t)
{
    enum { C = 75, N = ROWS * C, SIZE = 3 * C };
    double *x[3], *vector[2], *state = mr_trial_zeros(t, ROWS * SIZE), *y = mr_trial_zeros(t, N);
    double *want = mr_trial_zeros(t, N);
    const mr_tensor *in[3], *per_channel[2], *out = mr_trial_floats(t, NULL, N);
    for (int i = 0; i < 3; i++) {
        x[i] = mr_trial_random(t, N, 1);
        in[i] = mr_trial_floats(t, x[i], N);
    }
    for (int i = 0; i < 2; i++) {
        vector[i] = mr_trial_random(t, C, 1);
        per_channel[i] = mr_trial_floats(t, vector[i], C);
    }
    const struct mr_wkv4_step s = {ROWS,          C, slots_with(t, state, SIZE), in[0], in[1], in[2], per_channel[0],
                                   per_channel[1]};
    for (int step = 0; step < 2; step++) { /* of an empty state, and of one that is not */
        mr_trial_run(t, mr_wkv4_step(t->rt, &s, out));
        mr_ref_wkv4_forward(x[0], x[1], vector[0], vector[1], state, y, ROWS, 1, C);
        mr_ref_sigmoid_gate_forward(x[2], y, want, N);
        mr_trial_compare(t, out, want, N);
        compare_states(t, &s.slots, state, SIZE);
    }
}

void mr_case_wkv6_step(struct mr_trial *t)
{
    enum { H = 3, W = 25, C = H * W, N = ROWS * C, INPUTS = 5, SIZE = C * W };
    double *x[INPUTS], *vector[4], *state = mr_trial_random(t, ROWS * SIZE, 1), *want = mr_trial_zeros(t, N);
    const mr_tensor *in[INPUTS], *per_channel[4], *y = mr_trial_floats(t, NULL, N);
    for (int i = 0; i < INPUTS; i++) {
        x[i] = mr_trial_random(t, N, 1);
        in[i] = mr_trial_floats(t, x[i], N);
    }
    for (int i = 0; i < 4; i++) {
        vector[i] = mr_trial_random(t, C, 1);
        per_channel[i] = mr_trial_floats(t, vector[i], C);
    }
    struct mr_wkv6_step s = {.rows = ROWS, .heads = H, .width = W, .slots = slots_with(t, state, SIZE), .eps = 64e-5f};
    struct mr_ref_wkv6_step ref = {.batch = ROWS, .time = 1, .heads = H, .width = W, .eps = 64e-5};
    s.r = in[0], s.k = in[1], s.v = in[2], s.gate = in[3];
    s.decay = per_channel[0], s.u = per_channel[1], s.weight = per_channel[2], s.bias = per_channel[3];
    ref.r = x[0], ref.k = x[1], ref.v = x[2], ref.gate = x[3], ref.x = x[4];
    ref.decay = vector[0], ref.u = vector[1], ref.weight = vector[2], ref.bias = vector[3];
    for (int decays = MR_DECAY_HEAD; decays <= MR_DECAY_ROW; decays++) {
        s.decays = (enum mr_decays)decays, ref.decays = decays;
        s.x = decays == MR_DECAY_ROW ? in[4] : NULL;
        mr_trial_run(t, mr_wkv6_step(t->rt, &s, y));
        mr_ref_wkv6_step(&ref, state, want);
        mr_trial_compare(t, y, want, N);
        compare_states(t, &s.slots, state, SIZE);
    }
}

void mr_case_wkv7_step(struct mr_trial *t)
{
    enum { H = 3, W = 25, C = H * W, N = ROWS * C, INPUTS = 8, VECTORS = 5, SIZE = C * W };
    double *x[INPUTS], *vector[VECTORS], *state = mr_trial_random(t, ROWS * SIZE, 1), *want = mr_trial_zeros(t, N);
    const mr_tensor *in[INPUTS], *per_channel[VECTORS], *y = mr_trial_floats(t, NULL, N);
    for (int i = 0; i < INPUTS; i++) {
        x[i] = mr_trial_random(t, N, 1);
        in[i] = mr_trial_floats(t, x[i], N);
    }
    for (int i = 0; i < VECTORS; i++) {
        vector[i] = mr_trial_random(t, C, 1);
        per_channel[i] = mr_trial_floats(t, vector[i], C);
    }
    struct mr_wkv7_step s = {.rows = ROWS, .heads = H, .width = W, .slots = slots_with(t, state, SIZE), .eps = 64e-5f};
    struct mr_ref_wkv7_step ref = {.batch = ROWS, .time = 1, .heads = H, .width = W, .eps = 64e-5};
    s.r = in[0], s.k = in[1], s.v = in[2], s.w = in[3], s.a = in[4], s.g = in[5], s.v_first = in[6], s.share = in[7];
    s.k_k = per_channel[0], s.k_a = per_channel[1], s.r_k = per_channel[2];
    s.weight = per_channel[3], s.bias = per_channel[4];
    ref.r = x[0], ref.k = x[1], ref.v = x[2], ref.w = x[3], ref.a = x[4], ref.g = x[5], ref.v_first = x[6];
    ref.share = x[7], ref.k_k = vector[0], ref.k_a = vector[1], ref.r_k = vector[2];
    ref.weight = vector[3], ref.bias = vector[4];
    mr_trial_run(t, mr_wkv7_step(t->rt, &s, y));
    mr_ref_wkv7_step(&ref, state, want);
    mr_trial_compare(t, y, want, N);
    compare_states(t, &s.slots, state, SIZE);
}

/* Positions 0 to T-1, by steps; each row's columns of q, k, v and its gate follow each other. */
void mr_case_attention_step(struct mr_trial *t)
{
    enum { T = 6, H = 3, D = 13, W = 4, C = H * D, N = ROWS * C, SIZE = W * C };
    double *x[4], *want = mr_trial_zeros(t, T * N), *zeros = mr_trial_zeros(t, ROWS * SIZE);
    for (int i = 0; i < 4; i++)
        x[i] = mr_trial_random(t, T * N, 1);
    const struct mr_ref_attention_step ref = {ROWS, T, H, D, W, 0.25, x[0], x[1], x[2], x[3]};
    mr_ref_attention_step(&ref, want);
    struct mr_attention_step s = {ROWS, H,   D, W, 0.25f, 4 * C, 0, C, 2 * C, 3 * C, slots_with(t, zeros, SIZE),
                                  NULL, NULL};
    s.values = slots_with(t, zeros, SIZE).state;
    for (int32_t at = 0; at < T; at++) {
        double *rows = mr_trial_zeros(t, 4 * N), *expected = mr_trial_zeros(t, N);
        const mr_tensor *y = mr_trial_floats(t, NULL, N);
        for (int row = 0; row < ROWS; row++) {
            for (int i = 0; i < 4; i++)
                memcpy(rows + (row * 4 + i) * C, x[i] + (row * T + at) * C, C * sizeof *rows);
            memcpy(expected + row * C, want + (row * T + at) * C, C * sizeof *rows);
        }
        s.positions = mr_trial_ints(t, (const int32_t[ROWS]){at, at}, ROWS);
        mr_trial_run(t, mr_attention_step(t->rt, &s, mr_trial_floats(t, rows, 4 * N), y));
        mr_trial_compare(t, y, expected, N);
    }
}

void mr_case_mixture_step(struct mr_trial *t)
{
    enum { E = 5, A = 3, D = 45, N = ROWS * D };
    double *logits = mr_trial_random(t, ROWS * E, 1), *o = mr_trial_random(t, E * N, 1), *want = mr_trial_zeros(t, N);
    double *weights = mr_trial_zeros(t, ROWS * E);
    const mr_tensor *scores = mr_trial_floats(t, logits, ROWS * E);
    const mr_tensor *outs = mr_trial_floats(t, o, E * N), *h = mr_trial_floats(t, NULL, N);
    mr_trial_run(t, mr_mixture_step(t->rt, scores, outs, h, ROWS, E, E, D));
    mr_ref_mixture_step_weights(logits, weights, ROWS, E, E, 1);
    mr_ref_mixture_step(weights, o, want, ROWS, E, D);
    mr_trial_compare(t, h, want, N);
    mr_trial_run(t, mr_topk_step(t->rt, scores, outs, h, ROWS, E, A, D));
    mr_ref_mixture_step_weights(logits, weights, ROWS, E, A, 0);
    mr_ref_mixture_step(weights, o, want, ROWS, E, D);
    mr_trial_compare(t, h, want, N);
}

void mr_case_place(struct mr_trial *t)
{
    enum { C = 45, P = 7, N = ROWS * C };
    static const int32_t at[ROWS] = {6, 2};
    double *x = mr_trial_random(t, N, 1), *wpe = mr_trial_random(t, P * C, 1);
    const mr_tensor *y = mr_trial_floats(t, x, N);
    mr_trial_run(t, mr_place_step(t->rt, mr_trial_ints(t, at, ROWS), mr_trial_floats(t, wpe, P * C), y, ROWS, C, P, 0));
    mr_ref_place_step(at, wpe, x, ROWS, C, P, 0);
    mr_trial_compare(t, y, x, N);
}

/* Rows at their own positions, and a text back. */
void mr_case_rotary(struct mr_trial *t)
{
    enum { H = 3, D = 21, TURNED = 10, PLACES = 40, N = ROWS * 3 * H * D };
    static const int32_t at[ROWS] = {37, 2}, whole[ROWS] = {0, 1};
    double *x = mr_trial_random(t, N, 1), *want = mr_trial_zeros(t, N);
    const mr_tensor *in = mr_trial_floats(t, x, N), *y = mr_trial_floats(t, NULL, N);
    struct mr_rotary s = {.rows = ROWS, .heads = H, .width = D, .turned = TURNED, .time = ROWS, .places = PLACES};
    s.table = mr_trial_floats(t, NULL, (size_t)PLACES * TURNED);
    mr_trial_run(t, mr_rotary_table(t->rt, s.table, PLACES, TURNED, 1e4));
    mr_trial_run(t, mr_rotary_backward(t->rt, &s, in, y));
    mr_ref_rotary_backward(x, whole, want, ROWS, H, D, TURNED, 1e4);
    mr_trial_compare(t, y, want, N);
    s.positions = mr_trial_ints(t, at, ROWS);
    mr_trial_run(t, mr_rotary_forward(t->rt, &s, in, y));
    mr_ref_rotary_forward(x, at, want, ROWS, H, D, TURNED, 1e4);
    mr_trial_compare(t, y, want, N);
}

/* Few different numbers at first: ties, and more of them than the kernel sorts. */
void mr_case_top(struct mr_trial *t)
{
    enum { N = 5000, K = 45 };
    double *x = mr_trial_random(t, ROWS * N, 3), *want = mr_trial_zeros(t, ROWS * K);
    for (int i = 0; i < N; i++)
        x[i] = (int)x[i] > 1 ? 1 : (int)x[i];
    int32_t *places = mr_trial_integers(t, ROWS * K, 0, 0);
    const mr_tensor *values = mr_trial_floats(t, NULL, ROWS * K), *ids = mr_trial_ints(t, places, ROWS * K);
    mr_trial_run(t, mr_top(t->rt, mr_trial_floats(t, x, ROWS * N), ROWS, N, K, values, ids));
    mr_ref_top(x, places, ROWS, N, K);
    for (int i = 0; i < ROWS * K; i++)
        want[i] = x[i / K * N + places[i]];
    mr_trial_compare(t, values, want, ROWS * K);
}
