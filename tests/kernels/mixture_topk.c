/* SPDX-License-Identifier: GPL-3.0-or-later
 * Top-k routing against the reference: choices, order, weights, the balance term and their gradients. */
#include "kernel_test.h"

#include <math.h>

#include "ops/mixture_topk.h"
#include "ref/mixture.h"
#include "ref/mixture_topk.h"

/* rows, experts, active: one block, several, whole ones, all experts, the most experts */
static const int shapes[][3] = {
    {1, 1, 1}, {1, 4, 2}, {64, 4, 2}, {65, 6, 3}, {768, 4, 2}, {333, 64, 8}, {130, 64, 64}, {200, 5, 1}, {128, 3, 3},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct sample {
    struct mr_topk s;
    size_t scores_count, choice_count;
    double *scores, *weights;
    int *choice, *source, *load;
    mr_tensor t_scores, t_routes, t_weights, t_scratch;
};

/* Scores: softmax of normals(of whole numbers with ties), or given. Routed by the reference. */
static struct sample sample_of(struct mr_topk s, const double *scores, bool ties, uint64_t seed)
{
    struct sample a = {.s = s};
    test_case("topk: rows %d experts %d active %d%s", s.rows, s.experts, s.active, ties ? " with ties" : "");
    a.scores_count = (size_t)(s.rows * s.experts);
    a.choice_count = (size_t)(s.rows * s.active);
    double *x = random_array(seed, a.scores_count, 1.5);
    for (size_t i = 0; ties && i < a.scores_count; i++)
        x[i] = round(x[i]);
    a.scores = zeros(a.scores_count);
    mr_ref_softmax_forward(x, a.scores, s.rows, s.experts);
    for (size_t i = 0; i < a.scores_count; i++)
        a.scores[i] = (float)(scores ? scores[i] : a.scores[i]);
    free(x);
    a.weights = zeros(a.choice_count);
    a.choice = random_integers(0, a.choice_count, -1, -1);
    a.source = random_integers(0, a.choice_count, -1, -1);
    a.load = random_integers(0, (size_t)s.experts, -1, -1);
    mr_ref_topk_route(a.scores, a.choice, a.weights, s.rows, s.experts, s.active);
    mr_ref_topk_order(a.choice, a.source, a.load, s.rows, s.experts, s.active);
    a.t_scores = upload(a.scores, a.scores_count);
    a.t_routes = empty_i32(mr_topk_routes(&s));
    a.t_weights = empty(a.choice_count);
    a.t_scratch = empty(mr_topk_scratch(&s));
    return a;
}

static void sample_free(struct sample *a)
{
    free(a->scores), free(a->weights), free(a->choice), free(a->source), free(a->load);
    release(&a->t_scores), release(&a->t_routes), release(&a->t_weights), release(&a->t_scratch);
}

static void route(struct sample *a, const mr_tensor *loss, float balance)
{
    must(mr_topk_route(test_runtime(), &a->s, &a->t_scores, &a->t_routes, &a->t_weights, loss, balance, &a->t_scratch));
}

static void expect_i32(const char *what, const int32_t *got, const int *want, size_t n)
{
    mr_tensor t = upload_i32(got, n);
    expect_equal_i32(what, &t, want, n);
    release(&t);
}

/* Routes on the device and compares all that comes of it. */
static void expect_routed(struct sample *a)
{
    size_t n = a->choice_count, E = (size_t)a->s.experts;
    int *load = random_integers(0, E, -1, -1), *token = random_integers(0, n, 0, 0);
    route(a, NULL, 0);
    int32_t *routes = download_i32(&a->t_routes, mr_topk_routes(&a->s));
    for (size_t i = 0; i < n; i++)
        token[i] = a->source[i] / a->s.active;
    expect_i32("choice", routes, a->choice, n);
    expect_i32("source", routes + n, a->source, n);
    expect_i32("token", routes + 2 * n, token, n);
    expect_near("weights", &a->t_weights, a->weights, n, 1e-6);
    must(mr_topk_load(test_runtime(), &a->s, &a->t_routes, load));
    expect_i32("load", load, a->load, E);
    free(routes), free(load), free(token);
}

static void test_routes(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of((struct mr_topk){shapes[k][0], shapes[k][1], shapes[k][2]}, NULL, false, 5);
        expect_routed(&a);
        sample_free(&a);
    }
}

static void test_ties_go_to_the_lower_index(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of((struct mr_topk){shapes[k][0], shapes[k][1], shapes[k][2]}, NULL, true, 6);
        expect_routed(&a);
        sample_free(&a);
    }
    const double equal[] = {0.25, 0.25, 0.25, 0.25, 0.1, 0.3, 0.3, 0.3};
    struct sample a = sample_of((struct mr_topk){2, 4, 2}, equal, true, 6);
    const int want[] = {0, 1, 1, 2};
    expect_i32("choice of the reference", a.choice, want, 4);
    expect_routed(&a);
    sample_free(&a);
}

/* Every row prefers `first`, then `second`; the other experts get none. */
static void test_experts_without_rows(void **state)
{
    (void)state;
    for (int rows = 1; rows < 400; rows += 133) {
        for (int active = 1; active <= 2; active++) {
            double *scores = zeros((size_t)rows * 5);
            for (int r = 0; r < rows; r++)
                scores[r * 5 + 3] = 0.75, scores[r * 5 + 1] = 0.25;
            struct sample a = sample_of((struct mr_topk){rows, 5, active}, scores, false, 7);
            assert_int_equal(a.load[3], rows);
            assert_int_equal(a.load[0] + a.load[2] + a.load[4], 0);
            expect_routed(&a);
            sample_free(&a);
            free(scores);
        }
    }
}

static void test_scores_that_sum_to_zero_weigh_nothing(void **state)
{
    (void)state;
    double scores[12] = {0}, none[6] = {0};
    struct sample a = sample_of((struct mr_topk){3, 4, 2}, scores, true, 8);
    route(&a, NULL, 0);
    expect_near("weights", &a.t_weights, none, 6, 0);
    sample_free(&a);
}

static void test_balance_adds_to_loss(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of((struct mr_topk){shapes[k][0], shapes[k][1], shapes[k][2]}, NULL, false, 9);
        double before = 2,
               want = before + 0.5 * mr_ref_topk_balance(a.scores, a.choice, a.s.rows, a.s.experts, a.s.active);
        mr_tensor loss = upload(&before, 1);
        route(&a, &loss, 0.5f);
        expect_near("loss", &loss, &want, 1, 2e-6);
        release(&loss);
        sample_free(&a);
    }
}

static void test_balance_is_one_when_balanced(void **state)
{
    (void)state;
    const double scores[] = {0.7, 0.1, 0.1, 0.1, 0.1, 0.7, 0.1, 0.1, 0.1, 0.1, 0.7, 0.1, 0.1, 0.1, 0.1, 0.7};
    struct sample a = sample_of((struct mr_topk){4, 4, 1}, scores, false, 9);
    double one = 1;
    mr_tensor loss = zeroed(1);
    route(&a, &loss, 1);
    expect_near("balance", &loss, &one, 1, 1e-6);
    release(&loss);
    sample_free(&a);
}

static void test_scores_backward(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        struct sample a = sample_of((struct mr_topk){shapes[k][0], shapes[k][1], shapes[k][2]}, NULL, false, 10);
        double *dweights = random_array(11, a.choice_count, 1), *want = zeros(a.scores_count);
        mr_tensor t_dweights = upload(dweights, a.choice_count), dscores = empty(a.scores_count);
        mr_ref_topk_scores_backward(a.scores, a.choice, dweights, 0.3, want, a.s.rows, a.s.experts, a.s.active);
        route(&a, NULL, 0);
        must(mr_topk_scores_backward(test_runtime(), &a.s, &a.t_scores, &a.t_routes, &a.t_weights, &t_dweights, 0.3f,
                                     &dscores));
        expect_near("dscores", &dscores, want, a.scores_count, 5e-6);
        release(&t_dweights), release(&dscores);
        free(dweights), free(want);
        sample_free(&a);
    }
}

struct loss {
    struct sample *a;
    const int *choice; /* of the undisturbed scores: f_e is held */
    double *dweights, *weights;
    int *moved;
};

static double topk_loss(void *context)
{
    struct loss *c = context;
    struct sample *a = c->a;
    double sum = 0.3 * mr_ref_topk_balance(a->scores, c->choice, a->s.rows, a->s.experts, a->s.active);
    mr_ref_topk_route(a->scores, c->moved, c->weights, a->s.rows, a->s.experts, a->s.active);
    for (size_t i = 0; i < a->choice_count; i++)
        sum += c->dweights[i] * c->weights[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    /* no two scores are so near that a central difference changes a choice */
    struct sample a = sample_of((struct mr_topk){9, 5, 3}, NULL, false, 12);
    struct loss c = {&a, a.choice, random_array(13, a.choice_count, 1), zeros(a.choice_count),
                     random_integers(0, a.choice_count, 0, 0)};
    double *dscores = zeros(a.scores_count);
    mr_ref_topk_scores_backward(a.scores, a.choice, c.dweights, 0.3, dscores, a.s.rows, a.s.experts, a.s.active);
    expect_gradient("scores", topk_loss, &c, a.scores, dscores, a.scores_count, 1e-6);
    free(c.dweights), free(c.weights), free(c.moved), free(dscores);
    sample_free(&a);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor f = zeroed(1000), i = empty_i32(1000);
    struct mr_topk s = {4, 65, 2};
    assert_int_equal(mr_topk_route(rt, &s, &f, &i, &f, NULL, 0, &f), MR_EINVAL);
    s = (struct mr_topk){4, 4, 5};
    assert_int_equal(mr_topk_route(rt, &s, &f, &i, &f, NULL, 0, &f), MR_EINVAL);
    s = (struct mr_topk){4, 4, 0};
    assert_int_equal(mr_topk_scores_backward(rt, &s, &f, &i, &f, &f, 0, &f), MR_EINVAL);
    s = (struct mr_topk){300, 4, 2};
    assert_int_equal(mr_topk_route(rt, &s, &f, &i, &f, NULL, 0, &f), MR_EINVAL);
    s = (struct mr_topk){4, 4, 2};
    assert_int_equal(mr_topk_route(rt, &s, &f, &f, &f, NULL, 0, &f), MR_EINVAL);
    release(&f), release(&i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_ties_go_to_the_lower_index),
        cmocka_unit_test(test_experts_without_rows),
        cmocka_unit_test(test_scores_that_sum_to_zero_weigh_nothing),
        cmocka_unit_test(test_balance_adds_to_loss),
        cmocka_unit_test(test_balance_is_one_when_balanced),
        cmocka_unit_test(test_scores_backward),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
