/* SPDX-License-Identifier: GPL-3.0-or-later
 * The gate's softmax, the dense mixture and the diversity term against the reference. */
#include "kernel_test.h"

#include "ops/mixture.h"
#include "ref/mixture.h"

/* rows, experts, active, dim: odd ones, single ones, the ones that are trained */
static const int shapes[][4] = {
    {1, 1, 1, 1}, {3, 2, 1, 19}, {65, 4, 4, 153}, {33, 7, 5, 16}, {2, 64, 64, 17}, {9, 4, 4, 614}, {130, 5, 2, 31},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct sample {
    int rows, experts, active, dim;
    size_t scores_count, o_count, h_count;
    double *x, *scores, *o, *g; /* g: of h */
    mr_tensor t_scores, t_o, t_g;
};

static struct sample sample_of(int k)
{
    struct sample a = {.rows = shapes[k][0], .experts = shapes[k][1], .active = shapes[k][2], .dim = shapes[k][3]};
    test_case("mixture: rows %d experts %d active %d dim %d", a.rows, a.experts, a.active, a.dim);
    a.scores_count = (size_t)(a.rows * a.experts);
    a.o_count = (size_t)(a.rows * a.active * a.dim);
    a.h_count = (size_t)(a.rows * a.dim);
    a.x = random_array(10 + (uint64_t)k, a.scores_count, 3);
    a.scores = random_uniform(20 + (uint64_t)k, a.scores_count, 0, 1);
    a.o = random_array(30 + (uint64_t)k, a.o_count, 1);
    a.g = random_array(40 + (uint64_t)k, a.h_count, 1);
    a.t_scores = upload(a.scores, a.scores_count);
    a.t_o = upload(a.o, a.o_count);
    a.t_g = upload(a.g, a.h_count);
    return a;
}

static void sample_free(struct sample *a)
{
    free(a->x), free(a->scores), free(a->o), free(a->g);
    release(&a->t_scores), release(&a->t_o), release(&a->t_g);
}

static double product(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- softmax --------------------------------------------------------------------------------------------
 */

static void test_softmax_forward(void **state)
{
    (void)state;
    for (int round = 0; round < 12 + WIDTHS; round++) {
        int rows = random_int((uint64_t)round, 1, 300), n = random_int(50 + (uint64_t)round, 1, round % 3 ? 20 : 300);
        if (round >= 12)
            rows = 2, n = round - 11;
        size_t count = (size_t)(rows * n);
        test_case("softmax: rows %d of %d", rows, n);
        double *x = random_array(1, count, 10), *want = zeros(count);
        mr_ref_softmax_forward(x, want, rows, n);
        mr_tensor tx = upload(x, count), ty = empty(count);
        must(mr_softmax_forward(test_runtime(), &tx, &ty, rows, n));
        expect_near("y", &ty, want, count, 2e-6);
        must(mr_softmax_forward(test_runtime(), &tx, &tx, rows, n));
        expect_near("y in x", &tx, want, count, 2e-6);
        release(&tx), release(&ty);
        free(x), free(want);
    }
}

static void test_softmax_of_large_logits_is_finite(void **state)
{
    (void)state;
    double x[] = {1e30, -1e30, 1e30, 88, 300, -300}, want[] = {0.5, 0, 0.5, 0, 1, 0};
    test_case("softmax: logits up to 1e30");
    mr_tensor t = upload(x, 6);
    must(mr_softmax_forward(test_runtime(), &t, &t, 2, 3));
    expect_near("y", &t, want, 6, 1e-6);
    release(&t);
}

static void test_softmax_backward(void **state)
{
    (void)state;
    for (int round = 0; round < 12 + WIDTHS; round++) {
        int rows = random_int((uint64_t)round, 1, 100), n = random_int(50 + (uint64_t)round, 1, 70);
        if (round >= 12)
            rows = 1, n = round - 11; /* the reference is cubic */
        size_t count = (size_t)(rows * n);
        test_case("softmax backward: rows %d of %d", rows, n);
        double *x = random_array(1, count, 2), *dy = random_array(2, count, 1), *y = zeros(count), *want = zeros(count);
        mr_ref_softmax_forward(x, y, rows, n);
        mr_ref_softmax_backward(x, dy, want, rows, n);
        mr_tensor ty = upload(y, count), tdy = upload(dy, count), tdx = empty(count);
        must(mr_softmax_backward(test_runtime(), &ty, &tdy, &tdx, rows, n));
        expect_near("dx", &tdx, want, count, 1e-5);
        must(mr_softmax_backward(test_runtime(), &ty, &tdy, &tdy, rows, n));
        expect_near("dx in dy", &tdy, want, count, 1e-5);
        release(&ty), release(&tdy), release(&tdx);
        free(x), free(dy), free(y), free(want);
    }
}

struct softmax_loss {
    double *x, *y, *dy;
    int rows, n;
};

static double softmax_loss(void *context)
{
    struct softmax_loss *c = context;
    mr_ref_softmax_forward(c->x, c->y, c->rows, c->n);
    return product(c->y, c->dy, (size_t)(c->rows * c->n));
}

static void test_softmax_reference_gradient(void **state)
{
    (void)state;
    struct softmax_loss c = {random_array(1, 35, 1), zeros(35), random_array(2, 35, 1), 5, 7};
    double *dx = zeros(35);
    test_case("softmax gradient: rows 5 of 7");
    mr_ref_softmax_backward(c.x, c.dy, dx, 5, 7);
    expect_gradient("softmax", softmax_loss, &c, c.x, dx, 35, 1e-6);
    free(c.x), free(c.y), free(c.dy), free(dx);
}

/* ---- the mixture ----------------------------------------------------------------------------------------
 */

static void test_mixture_forward(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of(k);
        double *want = zeros(a.h_count);
        mr_tensor h = empty(a.h_count);
        mr_ref_mixture_forward(a.scores, a.o, want, a.rows, a.experts, a.active, a.dim);
        must(mr_mixture_forward(test_runtime(), &a.t_scores, &a.t_o, &h, a.rows, a.experts, a.active, a.dim));
        expect_near("h", &h, want, a.h_count, 2e-6);
        release(&h);
        free(want);
        sample_free(&a);
    }
}

static void test_mixture_backward(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of(k);
        double *dscores = zeros(a.scores_count), *d_o = zeros(a.o_count);
        mr_tensor t_dscores = empty(a.scores_count), t_do = empty(a.o_count);
        mr_ref_mixture_backward(a.scores, a.o, a.g, dscores, d_o, a.rows, a.experts, a.active, a.dim);
        must(mr_mixture_backward(test_runtime(), &a.t_scores, &a.t_o, &a.t_g, &t_dscores, &t_do, a.rows, a.experts,
                                 a.active, a.dim));
        expect_near("dscores", &t_dscores, dscores, a.scores_count, 5e-6);
        expect_near("d_o", &t_do, d_o, a.o_count, 1e-6);
        release(&t_dscores), release(&t_do);
        free(dscores), free(d_o);
        sample_free(&a);
    }
}

struct mixture_loss {
    struct sample *a;
    double *h;
};

static double mixture_loss(void *context)
{
    struct mixture_loss *c = context;
    struct sample *a = c->a;
    mr_ref_mixture_forward(a->scores, a->o, c->h, a->rows, a->experts, a->active, a->dim);
    return product(c->h, a->g, a->h_count);
}

static void test_mixture_reference_gradient(void **state)
{
    (void)state;
    struct sample a = sample_of(3);
    struct mixture_loss c = {&a, zeros(a.h_count)};
    double *dscores = zeros(a.scores_count), *d_o = zeros(a.o_count);
    mr_ref_mixture_backward(a.scores, a.o, a.g, dscores, d_o, a.rows, a.experts, a.active, a.dim);
    expect_gradient("mixture, scores", mixture_loss, &c, a.scores, dscores, a.scores_count, 1e-6);
    expect_gradient("mixture, o", mixture_loss, &c, a.o, d_o, a.o_count, 1e-6);
    free(c.h), free(dscores), free(d_o);
    sample_free(&a);
}

/* ---- diversity ------------------------------------------------------------------------------------------
 */

/* batch, time, active, dim */
static const int diverse[][4] = {{1, 1, 1, 1}, {3, 5, 2, 19}, {12, 64, 4, 153}, {2, 33, 3, 17}, {1, 130, 4, 61}};
enum { DIVERSE = sizeof diverse / sizeof *diverse };

static void test_diversity_adds_to_loss_and_gradient(void **state)
{
    (void)state;
    for (int k = 0; k < DIVERSE; k++) {
        int B = diverse[k][0], T = diverse[k][1], A = diverse[k][2], D = diverse[k][3];
        size_t n = (size_t)(B * T * A * D), means = (size_t)(B * A * D);
        test_case("diversity: B %d T %d A %d D %d", B, T, A, D);
        double *o = random_array(1, n, 1), *d_o = random_array(2, n, 1e-5), before = 0.25;
        for (size_t i = 0; i < n; i++)
            o[i] = (float)(o[i] + 0.5); /* means that stand out */
        mr_tensor to = upload(o, n), tdo = upload(d_o, n), mean = empty(means), loss = upload(&before, 1);
        double want = before + 0.5 * mr_ref_diversity_forward(o, B, T, A, D);
        must(mr_diversity_forward(test_runtime(), &to, &mean, &loss, B, T, A, D, 0.5f));
        expect_near("loss", &loss, &want, 1, 5e-6);
        mr_ref_diversity_backward(o, d_o, B, T, A, D, 0.5);
        must(mr_diversity_backward(test_runtime(), &mean, &tdo, B, T, A, D, 0.5f));
        expect_near("d_o", &tdo, d_o, n, 5e-6);
        release(&to), release(&tdo), release(&mean), release(&loss);
        free(o), free(d_o);
    }
}

static double diversity_loss(void *context)
{
    return 0.7 * mr_ref_diversity_forward(context, 3, 5, 2, 19);
}

static void test_diversity_reference_gradient(void **state)
{
    (void)state;
    size_t n = 3 * 5 * 2 * 19;
    double *o = random_array(1, n, 1), *d_o = zeros(n);
    test_case("diversity gradient: B 3 T 5 A 2 D 19");
    mr_ref_diversity_backward(o, d_o, 3, 5, 2, 19, 0.7);
    expect_gradient("diversity", diversity_loss, o, o, d_o, n, 1e-6);
    free(o), free(d_o);
}

/* ---- ------------------------------------------------------------------------------------------------------
 */

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor t = zeroed(24), none = {0};
    assert_int_equal(mr_softmax_forward(rt, &t, &t, 0, 4), MR_EINVAL);
    assert_int_equal(mr_softmax_forward(rt, &t, &t, 7, 4), MR_EINVAL);
    assert_int_equal(mr_softmax_backward(rt, &t, &none, &t, 6, 4), MR_EINVAL);
    assert_int_equal(mr_mixture_forward(rt, &t, &t, &t, 2, 2, 3, 1), MR_EINVAL);
    assert_int_equal(mr_mixture_forward(rt, &t, &t, &t, 3, 3, 3, 3), MR_EINVAL);
    assert_int_equal(mr_mixture_backward(rt, &t, &t, &t, &none, &t, 2, 2, 1, 1), MR_EINVAL);
    assert_int_equal(mr_diversity_forward(rt, &t, &t, &none, 1, 1, 1, 1, 1), MR_EINVAL);
    assert_int_equal(mr_diversity_backward(rt, &t, &t, 2, 2, 7, 1, 1), MR_EINVAL);
    release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_forward),
        cmocka_unit_test(test_softmax_of_large_logits_is_finite),
        cmocka_unit_test(test_softmax_backward),
        cmocka_unit_test(test_softmax_reference_gradient),
        cmocka_unit_test(test_mixture_forward),
        cmocka_unit_test(test_mixture_backward),
        cmocka_unit_test(test_mixture_reference_gradient),
        cmocka_unit_test(test_diversity_adds_to_loss_and_gradient),
        cmocka_unit_test(test_diversity_reference_gradient),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
