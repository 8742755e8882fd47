/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel_test.h"

#include <math.h>

#include "ops/time_mix.h"
#include "ref/time_mix.h"

enum { R, K, V, DY, INPUTS };

/* One shape with random inputs on both sides. */
struct sample {
    struct mr_time_mix s;
    size_t n, states; /* B*T*C, B*H*N*N */
    double *in[INPUTS], *decay, *faaaa;
    mr_tensor t[INPUTS], t_decay, t_faaaa, kept, scratch;
};

static struct sample sample_of(uint64_t seed, int batch, int time, int heads, int width, double low, double high)
{
    struct sample a = {.s = {batch, time, heads, width}};
    mr_runtime *rt = test_runtime();
    test_case("B %d T %d H %d N %d, decay %g to %g, seed %llu", batch, time, heads, width, low, high,
              (unsigned long long)seed);
    a.n = (size_t)batch * (size_t)time * (size_t)heads * (size_t)width;
    a.states = (size_t)batch * (size_t)heads * (size_t)width * (size_t)width;
    for (int i = 0; i < INPUTS; i++) {
        a.in[i] = random_array(seed * 10 + (uint64_t)i, a.n, 1);
        a.t[i] = upload(a.in[i], a.n);
    }
    a.decay = random_uniform(seed * 10 + 5, (size_t)heads, low, high);
    a.faaaa = random_uniform(seed * 10 + 6, (size_t)heads, -1, 1);
    a.t_decay = upload(a.decay, (size_t)heads);
    a.t_faaaa = upload(a.faaaa, (size_t)heads);
    a.kept = empty(mr_time_mix_kept(rt, &a.s));
    a.scratch = empty(mr_time_mix_scratch(rt, &a.s, true));
    return a;
}

static void sample_free(struct sample *a)
{
    for (int i = 0; i < INPUTS; i++) {
        free(a->in[i]);
        release(&a->t[i]);
    }
    free(a->decay);
    free(a->faaaa);
    release(&a->t_decay);
    release(&a->t_faaaa);
    release(&a->kept);
    release(&a->scratch);
}

static void forward(struct sample *a, const mr_tensor *state, const mr_tensor *y, const mr_tensor *kept)
{
    must(mr_time_mix_forward(test_runtime(), &a->s, &a->t[R], &a->t[K], &a->t[V], &a->t_decay, &a->t_faaaa, state, y,
                             kept, &a->scratch));
}

static void ref_forward(const struct sample *a, double *state, double *y)
{
    mr_ref_time_mix_forward(a->in[R], a->in[K], a->in[V], a->decay, a->faaaa, state, y, a->s.batch, a->s.time,
                            a->s.heads, a->s.width);
}

static void check_forward(uint64_t seed, int batch, int time, int heads, int width, double low, double high)
{
    struct sample a = sample_of(seed, batch, time, heads, width, low, high);
    double *want = zeros(a.n), *state = random_array(seed + 1000, a.states, 1);
    mr_tensor y = empty(a.n), after = upload(state, a.states), y_after = empty(a.n);
    ref_forward(&a, NULL, want);
    forward(&a, NULL, &y, &a.kept);
    expect_near("y", &y, want, a.n, 1e-5);
    ref_forward(&a, state, want);
    forward(&a, &after, &y_after, NULL);
    expect_near("y with a state", &y_after, want, a.n, 1e-5);
    expect_near("state", &after, state, a.states, 1e-5);
    free(want);
    free(state);
    release(&y);
    release(&after);
    release(&y_after);
    sample_free(&a);
}

static void check_backward(uint64_t seed, int batch, int time, int heads, int width, double low, double high)
{
    struct sample a = sample_of(seed, batch, time, heads, width, low, high);
    size_t H = (size_t)heads;
    double *want[INPUTS], *ddecay = random_array(seed + 2000, H, 1), *dfaaaa = random_array(seed + 2001, H, 1);
    mr_tensor got[INPUTS], t_ddecay = upload(ddecay, H), t_dfaaaa = upload(dfaaaa, H);
    for (int i = 0; i < INPUTS; i++) {
        want[i] = zeros(a.n);
        got[i] = empty(a.n);
    }
    const struct mr_ref_time_mix_gradients wanted = {a.in[DY], want[R], want[K], want[V], ddecay, dfaaaa};
    const struct mr_time_mix_gradients g = {&a.t[DY], &got[R], &got[K], &got[V], &t_ddecay, &t_dfaaaa};
    mr_ref_time_mix_backward(a.in[R], a.in[K], a.in[V], a.decay, a.faaaa, &wanted, batch, time, heads, width);
    forward(&a, NULL, &got[DY], &a.kept);
    must(mr_time_mix_backward(test_runtime(), &a.s, &a.t[R], &a.t[K], &a.t[V], &a.t_decay, &a.t_faaaa, &a.kept, &g,
                              &a.scratch));
    expect_near("dr", &got[R], want[R], a.n, 2e-5);
    expect_near("dk", &got[K], want[K], a.n, 2e-5);
    expect_near("dv", &got[V], want[V], a.n, 2e-5);
    expect_near("ddecay", &t_ddecay, ddecay, H, 1e-4);
    expect_near("dfaaaa", &t_dfaaaa, dfaaaa, H, 1e-4);
    for (int i = 0; i < INPUTS; i++) {
        free(want[i]);
        release(&got[i]);
    }
    free(ddecay);
    free(dfaaaa);
    release(&t_ddecay);
    release(&t_dfaaaa);
    sample_free(&a);
}

static const int widths[] = {1, 7, 12, 24, 32, 96, 100, 200}; /* each compiles the kernels anew */

static const int shapes[][4] = {
    /* B, T, H, N */
    {1, 1, 1, 1},   {2, 130, 1, 7},  {1, 300, 1, 7}, {1, 65, 3, 12},  {2, 100, 2, 24}, {2, 5, 3, 32},
    {3, 64, 2, 32}, {1, 200, 3, 96}, {2, 33, 2, 96}, {1, 96, 2, 100}, {1, 40, 1, 200},
};

static void each_shape(void (*check)(uint64_t, int, int, int, int, double, double))
{
    if (test_small()) { /* several chunks, a last one that is not full, a row that is not */
        check(1, 1, 70, 2, 7, -3, 0);
        check(2, 1, 70, 8, 7, -3, 0); /* enough heads to run through all chunks in one group */
        return;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check(100 + i, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], -6, -1);
    for (uint64_t i = 0; i < 6; i++) {
        uint64_t seed = 900 + 10 * i;
        check(seed, random_int(seed, 1, 3), random_int(seed + 1, 1, 150), random_int(seed + 2, 1, 4),
              widths[random_int(seed + 3, 0, 5)], -8, 3);
    }
}

static void test_forward_is_the_recurrence(void **unused)
{
    (void)unused;
    each_shape(check_forward);
}

static void test_backward_is_the_gradient(void **unused)
{
    (void)unused;
    each_shape(check_backward);
}

static void test_slow_and_fast_decays_keep_single_precision(void **unused)
{
    (void)unused;
    check_forward(1, 1, 2000, 2, 12, -8, -7.9); /* w = 0.9997: the state remembers 3000 positions */
    check_forward(2, 2, 150, 2, 12, 2.5, 3);    /* w = 2e-9 */
    check_backward(3, 1, 500, 2, 12, -8, -7.9);
    check_backward(4, 2, 150, 2, 12, 2.5, 3);
}

/* Copies positions from..from+count-1 of every batch row. */
static mr_tensor piece_of(const double *a, const struct mr_time_mix *s, int from, int count)
{
    size_t C = (size_t)s->heads * (size_t)s->width, n = (size_t)count * C;
    double *piece = zeros((size_t)s->batch * n);
    for (size_t b = 0; b < (size_t)s->batch; b++)
        for (size_t i = 0; i < n; i++)
            piece[b * n + i] = a[(b * (size_t)s->time + (size_t)from) * C + i];
    mr_tensor t = upload(piece, (size_t)s->batch * n);
    free(piece);
    return t;
}

/* The sequence in pieces of random lengths up to `longest`, carrying the state. */
static void check_split(uint64_t seed, int batch, int time, int heads, int width, int longest)
{
    struct sample a = sample_of(seed, batch, time, heads, width, -7, 1);
    double *want = zeros(a.n), *state = random_array(seed + 1000, a.states, 1);
    mr_tensor carried = upload(state, a.states);
    ref_forward(&a, state, want);
    for (int from = 0, count; from < time; from += count) {
        count = random_int(seed + (uint64_t)from, 1, longest);
        count = count < time - from ? count : time - from;
        struct mr_time_mix s = {batch, count, heads, width};
        mr_tensor part[DY], y = empty((size_t)(batch * count * heads * width));
        for (int i = 0; i < DY; i++)
            part[i] = piece_of(a.in[i], &a.s, from, count);
        must(mr_time_mix_forward(test_runtime(), &s, &part[R], &part[K], &part[V], &a.t_decay, &a.t_faaaa, &carried, &y,
                                 NULL, &a.scratch));
        mr_tensor right = piece_of(want, &a.s, from, count);
        double *want_part = download(&right, right.count);
        expect_near("y of a piece", &y, want_part, y.count, 2e-5);
        free(want_part);
        release(&right);
        release(&y);
        for (int i = 0; i < DY; i++)
            release(&part[i]);
    }
    expect_near("state after the pieces", &carried, state, a.states, 2e-5);
    free(want);
    free(state);
    release(&carried);
    sample_free(&a);
}

static void test_any_split_into_calls_agrees(void **unused)
{
    (void)unused;
    check_split(1, 2, 40, 3, 12, 1);
    check_split(2, 1, 150, 2, 96, 70);
    check_split(3, 3, 60, 2, 100, 3);
    check_split(4, 1, 300, 1, 32, 130);
    check_split(5, 1, 5, 2, 200, 2);
}

/* One position at a time, at widths with and without a rest below a vector. */
static void test_single_positions_of_every_width_agree(void **unused)
{
    (void)unused;
    static const int some[] = {20, 40, 72, 88, 96, 112, 136, 144, 160, 176, 200};
    size_t count = sizeof some / sizeof *some;
    for (size_t i = 0; i < count; i++)
        check_split(50 + i, 1, 3, 2, some[i], 1);
    for (int width = 1; test_all_widths() && width <= WIDTHS; width++) {
        check_split(500, 1, 6, 2, width, 3);
        check_backward(501, 1, 5, 2, width, -3, 0);
    }
}

static void test_many_calls_do_not_drift(void **unused)
{
    (void)unused;
    enum { STEPS = 3000, N = 7, PIECE = 30 };
    struct sample a = sample_of(5, 1, STEPS, 1, N, -8, -8);
    double *want = zeros(a.n), *state = random_array(1234, a.states, 100);
    mr_tensor carried = upload(state, a.states), y = empty(PIECE * N);
    struct mr_time_mix piece = {1, PIECE, 1, N};
    ref_forward(&a, state, want);
    for (int t = 0; t < STEPS; t += PIECE) {
        for (int i = 0; i < DY; i++) {
            float f[PIECE * N];
            for (int c = 0; c < PIECE * N; c++)
                f[c] = (float)a.in[i][t * N + c];
            must(mr_write(test_runtime(), &a.t[i], 0, PIECE * N, f));
        }
        must(mr_time_mix_forward(test_runtime(), &piece, &a.t[R], &a.t[K], &a.t[V], &a.t_decay, &a.t_faaaa, &carried,
                                 &y, NULL, &a.scratch));
    }
    expect_near("state", &carried, state, a.states, 1e-5);
    free(want);
    free(state);
    release(&carried);
    release(&y);
    sample_free(&a);
}

/* ---- the reference against central differences ---------------------------------------------------------------- */

static double ref_loss(void *context)
{
    struct sample *a = context;
    double *y = zeros(a->n), sum = 0;
    ref_forward(a, NULL, y);
    for (size_t i = 0; i < a->n; i++)
        sum += y[i] * a->in[DY][i];
    free(y);
    return sum;
}

static void test_reference_backward_is_the_slope(void **unused)
{
    (void)unused;
    struct sample a = sample_of(6, 2, 9, 3, 5, -3, 1);
    double *d[INPUTS], ddecay[3] = {0}, dfaaaa[3] = {0};
    for (int i = 0; i < INPUTS; i++)
        d[i] = zeros(a.n);
    const struct mr_ref_time_mix_gradients g = {a.in[DY], d[R], d[K], d[V], ddecay, dfaaaa};
    mr_ref_time_mix_backward(a.in[R], a.in[K], a.in[V], a.decay, a.faaaa, &g, 2, 9, 3, 5);
    expect_gradient("r", ref_loss, &a, a.in[R], d[R], a.n, 1e-6);
    expect_gradient("k", ref_loss, &a, a.in[K], d[K], a.n, 1e-6);
    expect_gradient("v", ref_loss, &a, a.in[V], d[V], a.n, 1e-6);
    expect_gradient("decay", ref_loss, &a, a.decay, ddecay, 3, 1e-6);
    expect_gradient("faaaa", ref_loss, &a, a.faaaa, dfaaaa, 3, 1e-6);
    for (int i = 0; i < INPUTS; i++)
        free(d[i]);
    sample_free(&a);
}

static void test_backward_is_the_same_bits_again(void **unused)
{
    (void)unused;
    struct sample a = sample_of(7, 2, 140, 3, 24, -6, 1);
    double *first[5];
    for (int round = 0; round < 2; round++) {
        mr_tensor got[5] = {empty(a.n), empty(a.n), empty(a.n), zeroed(3), zeroed(3)};
        forward(&a, NULL, &got[0], &a.kept);
        const struct mr_time_mix_gradients g = {&a.t[DY], &got[0], &got[1], &got[2], &got[3], &got[4]};
        must(mr_time_mix_backward(test_runtime(), &a.s, &a.t[R], &a.t[K], &a.t[V], &a.t_decay, &a.t_faaaa, &a.kept, &g,
                                  &a.scratch));
        for (int i = 0; i < 5; i++) {
            if (round == 0) {
                first[i] = download(&got[i], got[i].count);
            } else {
                expect_near("second run", &got[i], first[i], got[i].count, 0);
                free(first[i]);
            }
            release(&got[i]);
        }
    }
    sample_free(&a);
}

static void test_wrong_arguments_are_refused(void **unused)
{
    (void)unused;
    struct sample a = sample_of(8, 1, 4, 1, 8, -1, 0);
    mr_tensor y = empty(a.n);
    struct mr_time_mix s = a.s;
    s.width = MR_TIME_MIX_WIDTH + 1;
    assert_int_equal(MR_EINVAL, mr_time_mix_forward(test_runtime(), &s, &a.t[R], &a.t[K], &a.t[V], &a.t_decay,
                                                    &a.t_faaaa, NULL, &y, NULL, NULL));
    s = a.s;
    s.time = 5; /* larger than the tensors */
    assert_int_equal(MR_EINVAL, mr_time_mix_forward(test_runtime(), &s, &a.t[R], &a.t[K], &a.t[V], &a.t_decay,
                                                    &a.t_faaaa, NULL, &y, NULL, NULL));
    release(&y);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_is_the_recurrence),
        cmocka_unit_test(test_backward_is_the_gradient),
        cmocka_unit_test(test_slow_and_fast_decays_keep_single_precision),
        cmocka_unit_test(test_any_split_into_calls_agrees),
        cmocka_unit_test(test_single_positions_of_every_width_agree),
        cmocka_unit_test(test_many_calls_do_not_drift),
        cmocka_unit_test(test_reference_backward_is_the_slope),
        cmocka_unit_test(test_backward_is_the_same_bits_again),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
