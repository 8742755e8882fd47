/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrence of RWKV-5 and 6 against the reference, and the reference against central differences. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/wkv6_backward.h"
#include "ref/wkv6.h"
#include "ref/wkv6_backward.h"

enum { R, K, V, CHANGE, U, INPUTS }; /* of gradients too */

struct problem {
    struct mr_wkv6 s;
    size_t n, dim, states, count[INPUTS];
    double *in[INPUTS], *w, *state, *dy, *dlast; /* dlast: the gradient of the last state */
    double *d[INPUTS], *dstate;                  /* the reference's */
};

/* Changes from `low` (not below -1) to 0; what is added to begins at 0.5. */
static struct problem problem_of(struct mr_wkv6 s, double low, uint64_t seed)
{
    size_t N = (size_t)s.width, dim = (size_t)s.heads * N, n = (size_t)s.batch * (size_t)s.time * dim;
    struct problem p = {.s = s, .n = n, .dim = dim, .states = (size_t)s.batch * dim * N};
    test_case("wkv6 backward: batch %d time %d heads %d width %d %s changes from %g seed %llu", s.batch, s.time,
              s.heads, s.width, s.varies ? "varying" : "fixed", low, (unsigned long long)seed);
    for (int i = 0; i < INPUTS; i++) {
        p.count[i] = i == U || (i == CHANGE && !s.varies) ? dim : n;
        p.in[i] = i == CHANGE ? random_uniform(seed + CHANGE, p.count[i], low, 0)
                              : random_array(seed + (uint64_t)i, p.count[i], 1);
        p.d[i] = i == U || (i == CHANGE && !s.varies) ? random_uniform(seed, dim, 0.5, 0.5) : zeros(n);
    }
    for (size_t i = 0; low < -1 && i < p.count[CHANGE]; i++)
        p.in[CHANGE][i] = fmax(p.in[CHANGE][i], -1);
    p.w = zeros(p.count[CHANGE]);
    for (size_t i = 0; i < p.count[CHANGE]; i++)
        p.w[i] = 1 + p.in[CHANGE][i];
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
    struct mr_wkv6 s = p->s;
    const struct mr_ref_wkv6 x = {s.batch,  s.time,   s.heads, s.width,  s.varies, p->in[R],
                                  p->in[K], p->in[V], p->w,    p->in[U], p->state};
    const struct mr_ref_wkv6_gradients g = {p->dy, p->d[R], p->d[K], p->d[V], p->d[CHANGE], p->d[U], p->dstate};
    memcpy(p->dstate, p->dlast, p->states * sizeof *p->dstate);
    mr_ref_wkv6_backward(&x, &g);
}

static void check(struct mr_wkv6 s, double low, uint64_t seed, double tolerance)
{
    static const char *const names[INPUTS] = {"dr", "dk", "dv", "dchange", "du"};
    struct problem p = problem_of(s, low, seed);
    mr_runtime *rt = test_runtime();
    mr_tensor in[INPUTS], d[INPUTS], state = upload(p.state, p.states), y = empty(p.n), dy = upload(p.dy, p.n);
    mr_tensor dstate = upload(p.dlast, p.states), kept = empty(mr_wkv6_kept(&s)), ends = empty(mr_wkv6_kept(&s));
    mr_tensor scratch = empty(mr_wkv6_backward_scratch(&s));
    for (int i = 0; i < INPUTS; i++) {
        in[i] = upload(p.in[i], p.count[i]);
        d[i] = i == U || (i == CHANGE && !s.varies) ? upload(p.d[i], p.dim) : empty(p.n);
    }
    must(mr_wkv6_forward(rt, &s, &in[R], &in[K], &in[V], &in[CHANGE], &in[U], &state, &y, &kept));
    const struct mr_wkv6_recurrence x = {&in[R], &in[K], &in[V], &in[CHANGE], &in[U], &kept};
    const struct mr_wkv6_gradients g = {&dy, &d[R], &d[K], &d[V], &d[CHANGE], &d[U], &dstate};
    must(mr_wkv6_backward(rt, &s, &x, &g, &ends, &scratch));
    run_reference(&p);
    for (int i = 0; i < INPUTS; i++)
        expect_near(names[i], &d[i], p.d[i], p.count[i], tolerance);
    expect_near("dstate", &dstate, p.dstate, p.states, tolerance);
    for (int i = 0; i < INPUTS; i++)
        release(&in[i]), release(&d[i]);
    release(&state), release(&y), release(&dy), release(&dstate), release(&kept), release(&ends), release(&scratch);
    problem_free(&p);
}

static void test_all_widths_of_heads(void **state)
{
    (void)state;
    static const int widths[] = {1, 7, 8, 33, 64, 128};
    size_t count = sizeof widths / sizeof *widths, all = test_all_widths() ? 128 : 0;
    for (size_t i = 0; i < count + all; i++)
        for (int varies = 0; varies < 2; varies++) {
            uint64_t seed = 1100 * test_seed() + i;
            check((struct mr_wkv6){random_int(seed, 1, 3), random_int(seed + 1, 2, 40), random_int(seed + 2, 1, 3),
                                   size_of_round(widths, count, i), varies},
                  -1, seed, 5e-6);
        }
}

static void test_texts_of_any_length(void **state)
{
    (void)state;
    for (int time = 1; time <= 35; time++)
        check((struct mr_wkv6){2, time, 2, 8, time % 2}, -1, 5100 * test_seed() + (uint64_t)time, 5e-6);
}

/* Nothing is left of half the keys after a position. */
static void test_fastest_decays(void **state)
{
    (void)state;
    check((struct mr_wkv6){1, 50, 2, 16, true}, -2, 14 * test_seed(), 5e-6);
    check((struct mr_wkv6){1, 50, 2, 16, false}, -2, 15 * test_seed(), 5e-6);
}

static void test_slow_decays_over_long_texts(void **state)
{
    (void)state;
    check((struct mr_wkv6){1, 700, 1, 16, true}, -1e-3, 18 * test_seed(), 2e-5);
    check((struct mr_wkv6){1, 700, 1, 16, false}, -1e-3, 19 * test_seed(), 2e-5);
}

/* A sum of the outputs and of the last state, weighted by dy and dlast */
static double loss(void *context)
{
    struct problem *p = context;
    struct mr_wkv6 s = p->s;
    double *state = zeros(p->states), *y = zeros(p->n), sum = 0;
    memcpy(state, p->state, p->states * sizeof *state);
    mr_ref_wkv6_forward(p->in[R], p->in[K], p->in[V], p->w, p->in[U], state, y, s.batch, s.time, s.heads, s.width,
                        s.varies);
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
    for (int varies = 0; varies < 2; varies++) {
        struct problem p = problem_of((struct mr_wkv6){2, 9, 2, 5, varies}, -1, 3 * test_seed());
        for (int i = 0; i < INPUTS; i++)
            memset(p.d[i], 0, p.count[i] * sizeof *p.d[i]);
        run_reference(&p);
        expect_gradient("r", loss, &p, p.in[R], p.d[R], p.count[R], 1e-6);
        expect_gradient("k", loss, &p, p.in[K], p.d[K], p.count[K], 1e-6);
        expect_gradient("v", loss, &p, p.in[V], p.d[V], p.count[V], 1e-6);
        expect_gradient("w", loss, &p, p.w, p.d[CHANGE], p.count[CHANGE], 1e-6);
        expect_gradient("u", loss, &p, p.in[U], p.d[U], p.count[U], 1e-6);
        expect_gradient("state", loss, &p, p.state, p.dstate, p.states, 1e-6);
        problem_free(&p);
    }
}

/* ---- the decay ------------------------------------------------------------------------------------------------- */

static void check_change(struct mr_wkv6 s, double scale, uint64_t seed)
{
    size_t dim = (size_t)s.heads * (size_t)s.width, rows = s.varies ? (size_t)s.batch * (size_t)s.time : 1;
    size_t n = rows * dim;
    test_case("wkv6 change backward: rows %zu heads %d width %d decays to %g", rows, s.heads, s.width, scale);
    double *decay = random_array(seed, dim, scale), *x = random_array(seed + 1, n, 1),
           *d = random_array(seed + 2, n, 1);
    mr_tensor t = upload(decay, dim), in = upload(x, n), got = upload(d, n);
    must(mr_wkv6_change_backward(test_runtime(), &s, &t, s.varies ? &in : NULL, &got));
    mr_ref_wkv6_decay_backward(decay, s.varies ? x : NULL, d, (int)rows, (int)dim);
    expect_near("dx", &got, d, n, 2e-6);
    release(&t), release(&in), release(&got);
    free(decay), free(x), free(d);
}

static void test_change(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        uint64_t seed = 330 * test_seed() + (uint64_t)round;
        check_change((struct mr_wkv6){random_int(seed, 1, 3), random_int(seed + 1, 1, 50), random_int(seed + 2, 1, 5),
                                      round % 3 ? 8 : 64, round % 2},
                     2, seed);
    }
    check_change((struct mr_wkv6){1, 50, 3, 8, true}, 100, 331 * test_seed());
}

struct decays {
    double *decay, *first, *w, *u, *dw, *du;
};

enum { HEADS = 3, WIDE = 5 };

static double decays_loss(void *context)
{
    struct decays *c = context;
    double sum = 0;
    mr_ref_wkv6_heads(c->decay, c->first, c->w, c->u, HEADS, WIDE);
    for (int i = 0; i < HEADS * WIDE; i++)
        sum += c->w[i] * c->dw[i] + c->u[i] * c->du[i];
    return sum;
}

static double change_loss(void *context)
{
    struct decays *c = context;
    double sum = 0;
    mr_ref_wkv6_decay(c->decay, c->first, c->w, HEADS, WIDE);
    for (int i = 0; i < HEADS * WIDE; i++)
        sum += c->w[i] * c->dw[i];
    return sum;
}

static void test_reference_of_the_decay_is_the_slope(void **state)
{
    (void)state;
    enum { ALL = HEADS * WIDE };
    struct decays c = {random_array(1, ALL, 1), random_array(2, ALL, 1), zeros(ALL), zeros(ALL),
                       random_array(3, ALL, 1), random_array(4, ALL, 1)};
    double *ddecay = zeros(HEADS), *dfirst = zeros(HEADS), *dx = zeros(ALL);
    test_case("wkv6 decays");
    mr_ref_wkv6_heads_backward(c.decay, c.first, c.dw, c.du, ddecay, dfirst, HEADS, WIDE);
    expect_gradient("decay", decays_loss, &c, c.decay, ddecay, HEADS, 1e-6);
    expect_gradient("first", decays_loss, &c, c.first, dfirst, HEADS, 1e-6);
    memcpy(dx, c.dw, ALL * sizeof *dx);
    mr_ref_wkv6_decay_backward(c.decay, c.first, dx, HEADS, WIDE);
    expect_gradient("x", change_loss, &c, c.first, dx, ALL, 1e-6);
    free(c.decay), free(c.first), free(c.w), free(c.u), free(c.dw), free(c.du);
    free(ddecay), free(dfirst), free(dx);
}

static void test_heads(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        uint64_t seed = 550 * test_seed() + (uint64_t)round;
        struct mr_wkv6 s = {1, 1, random_int(seed, 1, 40), round % 2 ? 8 : 64, false};
        size_t heads = (size_t)s.heads, dim = heads * (size_t)s.width;
        test_case("wkv6 heads backward: heads %d width %d", s.heads, s.width);
        double *in[] = {random_array(seed, heads, 2), random_array(seed + 1, heads, 1), random_array(seed + 2, dim, 1),
                        random_array(seed + 3, dim, 1)};
        double *ddecay = random_array(seed + 4, heads, 1), *dfirst = random_array(seed + 5, heads, 1);
        mr_tensor decay = upload(in[0], heads), first = upload(in[1], heads), dchange = upload(in[2], dim);
        mr_tensor du = upload(in[3], dim), to_decay = upload(ddecay, heads), to_first = upload(dfirst, heads);
        const struct mr_wkv6_heads_gradients g = {&dchange, &du, &to_decay, &to_first};
        must(mr_wkv6_heads_backward(test_runtime(), &s, &decay, &first, &g));
        mr_ref_wkv6_heads_backward(in[0], in[1], in[2], in[3], ddecay, dfirst, s.heads, s.width);
        expect_near("ddecay", &to_decay, ddecay, heads, 2e-6);
        expect_near("dfirst", &to_first, dfirst, heads, 2e-6);
        release(&decay), release(&first), release(&dchange), release(&du), release(&to_decay), release(&to_first);
        free(in[0]), free(in[1]), free(in[2]), free(in[3]), free(ddecay), free(dfirst);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(1000), small = zeroed(10);
    struct mr_wkv6 s = {1, 2, 3, 4, true}, wide = {1, 1, 1, 129, true};
    const struct mr_wkv6_recurrence x = {&a, &a, &a, &a, &a, &a}, unkept = {&a, &a, &a, &a, &a, &small};
    const struct mr_wkv6_gradients g = {&a, &a, &a, &a, &a, &a, &a}, stateless = {&a, &a, &a, &a, &a, &a, &small};
    const struct mr_wkv6_heads_gradients of_heads = {&a, &a, &a, &small};
    assert_int_equal(mr_wkv6_backward(rt, &wide, &x, &g, &a, &a), MR_EINVAL);
    assert_int_equal(mr_wkv6_backward(rt, &s, &unkept, &g, &a, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "kept"));
    assert_int_equal(mr_wkv6_backward(rt, &s, &x, &stateless, &a, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "dstate"));
    assert_int_equal(mr_wkv6_backward(rt, &s, &x, &g, &small, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "ends"));
    assert_int_equal(mr_wkv6_backward(rt, &s, &x, &g, &a, &small), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "scratch"));
    assert_int_equal(mr_wkv6_change_backward(rt, &s, &a, NULL, &a), MR_EINVAL);
    s.heads = 20;
    assert_int_equal(mr_wkv6_heads_backward(rt, &s, &a, &a, &of_heads), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "dfirst"));
    release(&a), release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_widths_of_heads),
        cmocka_unit_test(test_texts_of_any_length),
        cmocka_unit_test(test_fastest_decays),
        cmocka_unit_test(test_slow_decays_over_long_texts),
        cmocka_unit_test(test_reference_is_the_slope),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_reference_of_the_decay_is_the_slope),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
