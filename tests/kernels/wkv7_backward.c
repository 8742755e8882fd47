/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of RWKV-7's recurrence against the reference, and the reference against central differences. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/wkv7_backward.h"
#include "ref/wkv7.h"
#include "ref/wkv7_backward.h"

enum { R, W, K, V, KAPPA, REMOVAL, INPUTS }; /* W is the change, w - 1; of gradients too */

struct problem {
    struct mr_wkv7 s;
    size_t n, states;
    double *in[INPUTS], *w, *state, *dy, *dlast; /* dlast: the gradient of the last state */
    double *d[INPUTS], *dstate;                  /* the reference's */
};

/* kappa of length 1 per head, removal = kappa times rates from 0 to 1. Changes from `low` to 0: the fastest decay is
 * -0.4547. */
static struct problem problem_of(struct mr_wkv7 s, double low, uint64_t seed)
{
    size_t N = (size_t)s.width, dim = (size_t)s.heads * N, n = (size_t)s.batch * (size_t)s.time * dim;
    struct problem p = {.s = s, .n = n, .states = (size_t)s.batch * dim * N};
    double *rate = random_uniform(seed + 20, n, 0, 1);
    test_case("wkv7 backward: batch %d time %d heads %d width %d changes from %g seed %llu", s.batch, s.time, s.heads,
              s.width, low, (unsigned long long)seed);
    for (int i = 0; i < INPUTS; i++) {
        p.in[i] = i == W ? random_uniform(seed + W, n, low, low < -0.45 ? low + 1e-4 : 0)
                         : random_array(seed + (uint64_t)i, n, 1);
        p.d[i] = zeros(n);
    }
    for (size_t head = 0; head < n; head += N) {
        double squares = 0;
        for (size_t i = head; i < head + N; i++)
            squares += p.in[KAPPA][i] * p.in[KAPPA][i];
        for (size_t i = head; i < head + N; i++) {
            p.in[KAPPA][i] = (float)(p.in[KAPPA][i] / sqrt(squares));
            p.in[REMOVAL][i] = (float)(p.in[KAPPA][i] * rate[i]);
        }
    }
    free(rate);
    p.w = zeros(n);
    for (size_t i = 0; i < n; i++)
        p.w[i] = 1 + p.in[W][i];
    p.state = random_array(seed + 30, p.states, 1);
    p.dy = random_array(seed + 31, n, 1);
    p.dlast = random_array(seed + 32, p.states, 1);
    p.dstate = zeros(p.states);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]), free(p->d[i]);
    free(p->w), free(p->state), free(p->dy), free(p->dlast), free(p->dstate);
}

static void run_reference(struct problem *p)
{
    struct mr_wkv7 s = p->s;
    const struct mr_ref_wkv7 x = {s.batch,  s.time,   s.heads,      s.width,        p->in[R], p->w,
                                  p->in[K], p->in[V], p->in[KAPPA], p->in[REMOVAL], p->state};
    const struct mr_ref_wkv7_gradients g = {p->dy,   p->d[R],     p->d[W],       p->d[K],
                                            p->d[V], p->d[KAPPA], p->d[REMOVAL], p->dstate};
    memcpy(p->dstate, p->dlast, p->states * sizeof *p->dstate);
    mr_ref_wkv7_backward(&x, &g);
}

/* Forward, then backward of it; what is added to begins at 0.5. */
static void check(struct mr_wkv7 s, double low, uint64_t seed, double tolerance)
{
    static const char *const names[INPUTS] = {"dr", "dchange", "dk", "dv", "dkappa", "dremoval"};
    struct problem p = problem_of(s, low, seed);
    mr_runtime *rt = test_runtime();
    mr_tensor in[INPUTS], d[INPUTS], state = upload(p.state, p.states), y = empty(p.n), dy = upload(p.dy, p.n);
    mr_tensor dstate = upload(p.dlast, p.states), kept = empty(mr_wkv7_kept(rt, &s));
    mr_tensor scratch = empty(mr_wkv7_backward_scratch(rt, &s));
    double *half = random_uniform(seed, p.n, 0.5, 0.5);
    for (int i = 0; i < INPUTS; i++) {
        in[i] = upload(p.in[i], p.n);
        d[i] = i == R || i == K || i == V ? upload(half, p.n) : empty(p.n);
    }
    must(mr_wkv7_forward(rt, &s, &in[R], &in[W], &in[K], &in[V], &in[KAPPA], &in[REMOVAL], &state, &y, &kept));
    const struct mr_wkv7_recurrence x = {&in[R], &in[W], &in[K], &in[V], &in[KAPPA], &in[REMOVAL], &kept};
    const struct mr_wkv7_gradients g = {&dy, &d[R], &d[W], &d[K], &d[V], &d[KAPPA], &d[REMOVAL], &dstate};
    must(mr_wkv7_backward(rt, &s, &x, &g, &scratch));
    run_reference(&p);
    for (int i = 0; i < INPUTS; i++) {
        for (size_t e = 0; e < p.n && (i == R || i == K || i == V); e++)
            p.d[i][e] += 0.5;
        expect_near(names[i], &d[i], p.d[i], p.n, tolerance);
    }
    expect_near("dstate", &dstate, p.dstate, p.states, tolerance);
    for (int i = 0; i < INPUTS; i++)
        release(&in[i]), release(&d[i]);
    release(&state), release(&y), release(&dy), release(&dstate), release(&kept), release(&scratch);
    free(half);
    problem_free(&p);
}

static void test_all_widths_of_heads(void **state)
{
    (void)state;
    static const int widths[] = {1, 7, 8, 16, 33, 64, 100, 128};
    size_t count = sizeof widths / sizeof *widths, all = test_all_widths() ? 128 : 0;
    for (size_t i = 0; i < count + all; i++) {
        uint64_t seed = 900 * test_seed() + i;
        check((struct mr_wkv7){random_int(seed, 1, 3), random_int(seed + 1, 1, 40), random_int(seed + 2, 1, 3),
                               size_of_round(widths, count, i)},
              -0.45, seed, 5e-6);
    }
}

static void test_texts_of_any_length(void **state)
{
    (void)state;
    for (int time = 1; time <= 35; time++)
        check((struct mr_wkv7){2, time, 2, 8}, -0.45, 5000 * test_seed() + (uint64_t)time, 5e-6);
}

static void test_fastest_decays(void **state)
{
    (void)state;
    check((struct mr_wkv7){1, 100, 2, 64}, -0.45469, 13 * test_seed(), 5e-6);
}

static void test_slow_decays_over_long_texts(void **state)
{
    (void)state;
    check((struct mr_wkv7){1, 700, 1, 16}, -1e-3, 17 * test_seed(), 2e-5);
}

/* A sum of the outputs and of the last state, weighted by dy and dlast */
static double loss(void *context)
{
    struct problem *p = context;
    struct mr_wkv7 s = p->s;
    double *state = zeros(p->states), *y = zeros(p->n), sum = 0;
    memcpy(state, p->state, p->states * sizeof *state);
    mr_ref_wkv7_forward(p->in[R], p->w, p->in[K], p->in[V], p->in[KAPPA], p->in[REMOVAL], state, y, s.batch, s.time,
                        s.heads, s.width);
    for (size_t i = 0; i < p->n; i++)
        sum += y[i] * p->dy[i];
    for (size_t i = 0; i < p->states; i++)
        sum += state[i] * p->dlast[i];
    free(state), free(y);
    return sum;
}

static void test_reference_is_the_slope(void **state)
{
    (void)state;
    struct problem p = problem_of((struct mr_wkv7){2, 9, 2, 5}, -0.45, 3 * test_seed());
    run_reference(&p);
    expect_gradient("r", loss, &p, p.in[R], p.d[R], p.n, 1e-6);
    expect_gradient("w", loss, &p, p.w, p.d[W], p.n, 1e-6);
    expect_gradient("k", loss, &p, p.in[K], p.d[K], p.n, 1e-6);
    expect_gradient("v", loss, &p, p.in[V], p.d[V], p.n, 1e-6);
    expect_gradient("kappa", loss, &p, p.in[KAPPA], p.d[KAPPA], p.n, 1e-6);
    expect_gradient("removal", loss, &p, p.in[REMOVAL], p.d[REMOVAL], p.n, 1e-6);
    expect_gradient("state", loss, &p, p.state, p.dstate, p.states, 1e-6);
    problem_free(&p);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(1000), small = zeroed(10);
    struct mr_wkv7 s = {1, 2, 3, 4}, wide = {1, 1, 1, 129};
    const struct mr_wkv7_recurrence x = {&a, &a, &a, &a, &a, &a, &a}, unkept = {&a, &a, &a, &a, &a, &a, &small};
    const struct mr_wkv7_gradients g = {&a, &a, &a, &a, &a, &a, &a, &a},
                                   stateless = {&a, &a, &a, &a, &a, &a, &a, &small};
    assert_int_equal(mr_wkv7_backward(rt, &wide, &x, &g, &a), MR_EINVAL);
    assert_int_equal(mr_wkv7_backward(rt, &s, &unkept, &g, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "kept"));
    assert_int_equal(mr_wkv7_backward(rt, &s, &x, &stateless, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "dstate"));
    assert_int_equal(mr_wkv7_backward(rt, &s, &x, &g, &small), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "scratch"));
    release(&a), release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_widths_of_heads),    cmocka_unit_test(test_texts_of_any_length),
        cmocka_unit_test(test_fastest_decays),         cmocka_unit_test(test_slow_decays_over_long_texts),
        cmocka_unit_test(test_reference_is_the_slope), cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
