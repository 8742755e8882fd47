/* SPDX-License-Identifier: GPL-3.0-or-later
 * The linear layers of routed experts, alone and as part of the whole top-k mixture, against the reference.
 */
#include "kernel_test.h"

#include <string.h>

#include "ops/expert_linear.h"
#include "ops/mixture.h"
#include "ref/expert_linear.h"
#include "ref/mixture.h"
#include "ref/mixture_topk.h"

/* rows, experts, active, in, out: few assignments and many, tiles that fit and that do not */
static const int shapes[][5] = {
    {1, 1, 1, 1, 1},      {1, 4, 2, 128, 153}, {8, 6, 2, 33, 19},  {9, 4, 2, 3, 7},
    {130, 6, 3, 65, 40},  {256, 4, 2, 64, 96}, {100, 9, 4, 31, 5}, {300, 4, 2, 128, 153},
    {77, 64, 3, 17, 130}, {65, 5, 5, 66, 33},  {200, 1, 1, 40, 9},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* How rows choose: as softmax scores of normals fall; all of them the last experts. */
enum { SPREAD, ALL_ON_THE_LAST };

struct sample {
    struct mr_expert_linear s;
    int R, E, A, C, D;
    size_t nx, no, nw, nb; /* elements of x, o, all weights, all biases */
    double *scores, *weights, *x, *w, *b, *d_o;
    int *choice;
    mr_tensor routes, tx, t_do, tw[64], tb[64];
};

static void tensors_of(mr_tensor *t, const double *a, int experts, size_t each)
{
    for (int e = 0; e < experts; e++)
        t[e] = upload(a + (size_t)e * each, each);
}

static void route(struct sample *a)
{
    size_t scores = (size_t)(a->R * a->E);
    mr_tensor t = upload(a->scores, scores), weights = empty((size_t)(a->R * a->A));
    mr_tensor scratch = empty(mr_topk_scratch(&a->s.topk));
    a->routes = empty_i32(mr_topk_routes(&a->s.topk));
    must(mr_topk_route(test_runtime(), &a->s.topk, &t, &a->routes, &weights, NULL, 0, &scratch));
    release(&t), release(&weights), release(&scratch);
}

static struct sample sample_of(const int shape[5], int preference)
{
    struct sample a = {.R = shape[0], .E = shape[1], .A = shape[2], .C = shape[3], .D = shape[4]};
    a.s = (struct mr_expert_linear){{a.R, a.E, a.A}, a.C, a.D};
    test_case("expert linear: rows %d experts %d active %d in %d out %d%s", a.R, a.E, a.A, a.C, a.D,
              preference == SPREAD ? "" : ", all on the last");
    size_t scores = (size_t)(a.R * a.E), assignments = (size_t)(a.R * a.A);
    a.nx = (size_t)(a.R * a.C), a.no = assignments * (size_t)a.D;
    a.nw = (size_t)(a.E * a.D * a.C), a.nb = (size_t)(a.E * a.D);
    double *logits = random_array(1, scores, 1.5);
    for (size_t i = 0; preference == ALL_ON_THE_LAST && i < scores; i++)
        logits[i] = (double)(i % (size_t)a.E) / 8;
    a.scores = zeros(scores);
    mr_ref_softmax_forward(logits, a.scores, a.R, a.E);
    for (size_t i = 0; i < scores; i++)
        a.scores[i] = (float)a.scores[i];
    free(logits);
    a.weights = zeros(assignments);
    a.choice = random_integers(0, assignments, 0, 0);
    mr_ref_topk_route(a.scores, a.choice, a.weights, a.R, a.E, a.A);
    a.x = random_array(2, a.nx, 1), a.w = random_array(3, a.nw, 0.3), a.b = random_array(4, a.nb, 1);
    a.d_o = random_array(5, a.no, 1);
    a.tx = upload(a.x, a.nx), a.t_do = upload(a.d_o, a.no);
    tensors_of(a.tw, a.w, a.E, (size_t)(a.D * a.C));
    tensors_of(a.tb, a.b, a.E, (size_t)a.D);
    route(&a);
    return a;
}

static void sample_free(struct sample *a)
{
    double *const arrays[] = {a->scores, a->weights, a->x, a->w, a->b, a->d_o};
    for (int i = 0; i < 6; i++)
        free(arrays[i]);
    free(a->choice);
    release(&a->routes), release(&a->tx), release(&a->t_do);
    for (int e = 0; e < a->E; e++)
        release(&a->tw[e]), release(&a->tb[e]);
}

static const mr_tensor *const *list(const mr_tensor *t, const mr_tensor **pointers)
{
    for (int e = 0; e < 64; e++)
        pointers[e] = &t[e];
    return pointers;
}

static void forward(struct sample *a, const mr_tensor *o)
{
    const mr_tensor *w[64], *b[64];
    mr_tensor scratch = empty(mr_expert_linear_forward_scratch(&a->s));
    must(mr_expert_linear_forward(test_runtime(), &a->s, &a->tx, &a->routes, list(a->tw, w), list(a->tb, b), o,
                                  &scratch));
    release(&scratch);
}

static void backward_input(struct sample *a, const mr_tensor *d_o, const mr_tensor *dx, bool accumulate)
{
    const mr_tensor *w[64];
    mr_tensor scratch = empty(mr_expert_linear_backward_scratch(&a->s));
    must(mr_expert_linear_backward_input(test_runtime(), &a->s, d_o, &a->routes, list(a->tw, w), dx, accumulate,
                                         &scratch));
    release(&scratch);
}

/* Compares tensors of all experts with one array. */
static void expect_all_near(const char *what, const mr_tensor *t, const double *want, int experts, size_t each,
                            double tolerance)
{
    double *got = zeros((size_t)experts * each);
    for (int e = 0; e < experts; e++) {
        double *part = download(&t[e], each);
        memcpy(got + (size_t)e * each, part, each * sizeof *part);
        free(part);
    }
    expect_near_host(what, got, want, (size_t)experts * each, tolerance);
    free(got);
}

static void check_forward(const int shape[5], int preference)
{
    struct sample a = sample_of(shape, preference);
    double *want = zeros(a.no);
    mr_tensor o = empty(a.no);
    mr_ref_expert_linear_forward(a.x, a.choice, a.w, a.b, want, a.R, a.A, a.C, a.D);
    forward(&a, &o);
    expect_near("o", &o, want, a.no, 5e-6);
    release(&o);
    free(want);
    sample_free(&a);
}

static void check_backward_input(const int shape[5], int preference)
{
    struct sample a = sample_of(shape, preference);
    double *want = zeros(a.nx);
    mr_tensor dx = empty(a.nx);
    mr_ref_expert_linear_backward_input(a.d_o, a.choice, a.w, want, a.R, a.A, a.C, a.D);
    backward_input(&a, &a.t_do, &dx, false);
    expect_near("dx", &dx, want, a.nx, 5e-6);
    backward_input(&a, &a.t_do, &dx, true);
    for (size_t i = 0; i < a.nx; i++)
        want[i] *= 2;
    expect_near("dx added to", &dx, want, a.nx, 5e-6);
    release(&dx);
    free(want);
    sample_free(&a);
}

static void check_backward_weight(const int shape[5], int preference)
{
    struct sample a = sample_of(shape, preference);
    double *dw = random_array(6, a.nw, 1), *db = random_array(7, a.nb, 1);
    mr_tensor tdw[64], tdb[64];
    const mr_tensor *pw[64], *pb[64];
    tensors_of(tdw, dw, a.E, (size_t)(a.D * a.C));
    tensors_of(tdb, db, a.E, (size_t)a.D);
    mr_ref_expert_linear_backward_weight(a.x, a.d_o, a.choice, dw, db, a.R, a.A, a.C, a.D);
    must(mr_expert_linear_backward_weight(test_runtime(), &a.s, &a.tx, &a.t_do, &a.routes, list(tdw, pw),
                                          list(tdb, pb)));
    expect_all_near("dw", tdw, dw, a.E, (size_t)(a.D * a.C), 5e-6);
    expect_all_near("db", tdb, db, a.E, (size_t)a.D, 5e-6);
    for (int e = 0; e < a.E; e++)
        release(&tdw[e]), release(&tdb[e]);
    free(dw), free(db);
    sample_free(&a);
}

static void test_forward(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++)
        check_forward(shapes[k], SPREAD);
}

static void test_backward_input(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++)
        check_backward_input(shapes[k], SPREAD);
}

static void test_backward_weight_adds(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++)
        check_backward_weight(shapes[k], SPREAD);
}

static void test_all_rows_on_few_experts(void **state)
{
    (void)state;
    static const int lopsided[][5] = {{3, 4, 1, 10, 12}, {130, 6, 1, 65, 40}, {100, 9, 2, 31, 5}, {200, 64, 2, 17, 30}};
    for (size_t k = 0; k < sizeof lopsided / sizeof *lopsided; k++) {
        check_forward(lopsided[k], ALL_ON_THE_LAST);
        check_backward_input(lopsided[k], ALL_ON_THE_LAST);
        check_backward_weight(lopsided[k], ALL_ON_THE_LAST);
    }
}

/* ---- gradients of the reference -------------------------------------------------------------------------
 */

struct loss {
    struct sample *a;
    double *o;
};

static double linear_loss(void *context)
{
    struct loss *c = context;
    struct sample *a = c->a;
    double sum = 0;
    mr_ref_expert_linear_forward(a->x, a->choice, a->w, a->b, c->o, a->R, a->A, a->C, a->D);
    for (size_t i = 0; i < a->no; i++)
        sum += c->o[i] * a->d_o[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    static const int shape[] = {9, 4, 2, 7, 5};
    struct sample a = sample_of(shape, SPREAD);
    struct loss c = {&a, zeros(a.no)};
    double *dx = zeros(a.nx), *dw = zeros(a.nw), *db = zeros(a.nb);
    mr_ref_expert_linear_backward_input(a.d_o, a.choice, a.w, dx, a.R, a.A, a.C, a.D);
    mr_ref_expert_linear_backward_weight(a.x, a.d_o, a.choice, dw, db, a.R, a.A, a.C, a.D);
    expect_gradient("x", linear_loss, &c, a.x, dx, a.nx, 1e-6);
    expect_gradient("w", linear_loss, &c, a.w, dw, a.nw, 1e-6);
    expect_gradient("b", linear_loss, &c, a.b, db, a.nb, 1e-6);
    free(c.o), free(dx), free(dw), free(db);
    sample_free(&a);
}

/* ---- the whole top-k mixture, h and the gradients of x and of the scores
 * ------------------------------------ */

static double mixture(struct sample *a, double *h, const double *dh)
{
    double *o = zeros(a->no), sum = 0;
    mr_ref_topk_route(a->scores, a->choice, a->weights, a->R, a->E, a->A);
    mr_ref_expert_linear_forward(a->x, a->choice, a->w, a->b, o, a->R, a->A, a->C, a->D);
    mr_ref_mixture_forward(a->weights, o, h, a->R, a->A, a->A, a->D);
    for (int i = 0; i < a->R * a->D; i++)
        sum += h[i] * dh[i];
    free(o);
    return sum;
}

struct whole {
    struct sample *a;
    double *h, *dh;
};

static double whole_loss(void *context)
{
    struct whole *c = context;
    return mixture(c->a, c->h, c->dh);
}

static void test_whole_mixture(void **state)
{
    (void)state;
    static const int shape[] = {12, 5, 2, 9, 19};
    struct sample a = sample_of(shape, SPREAD);
    mr_runtime *rt = test_runtime();
    size_t n = (size_t)(a.R * a.D), assignments = (size_t)(a.R * a.A), scores = (size_t)(a.R * a.E);
    struct whole c = {&a, zeros(n), random_array(8, n, 1)};
    mr_tensor t_scores = upload(a.scores, scores), weights = upload(a.weights, assignments), o = empty(a.no);
    mr_tensor h = empty(n), dh = upload(c.dh, n), dweights = empty(assignments), d_o = empty(a.no), dx = empty(a.nx);
    mr_tensor dscores = empty(scores);
    forward(&a, &o);
    must(mr_mixture_forward(rt, &weights, &o, &h, a.R, a.A, a.A, a.D));
    must(mr_mixture_backward(rt, &weights, &o, &dh, &dweights, &d_o, a.R, a.A, a.A, a.D));
    must(mr_topk_scores_backward(rt, &a.s.topk, &t_scores, &a.routes, &weights, &dweights, 0, &dscores));
    backward_input(&a, &d_o, &dx, false);
    whole_loss(&c);
    expect_near("h", &h, c.h, n, 5e-6);
    /* float gradients of the device against central differences of the reference */
    double *got_x = download(&dx, a.nx), *got_scores = download(&dscores, scores);
    expect_gradient("x", whole_loss, &c, a.x, got_x, a.nx, 1e-5);
    expect_gradient("scores", whole_loss, &c, a.scores, got_scores, scores, 1e-5);
    free(got_x), free(got_scores), free(c.h), free(c.dh);
    release(&t_scores), release(&weights), release(&o), release(&h), release(&dh);
    release(&dweights), release(&d_o), release(&dx), release(&dscores);
    sample_free(&a);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    static const int shape[] = {40, 4, 2, 7, 5};
    struct sample a = sample_of(shape, SPREAD);
    mr_runtime *rt = test_runtime();
    const mr_tensor *w[64], *b[64];
    mr_tensor o = empty(a.no), small = empty(4);
    list(a.tw, w), list(a.tb, b);
    assert_int_equal(mr_expert_linear_forward(rt, &a.s, &a.tx, &a.routes, w, b, &o, &small), MR_EINVAL);
    assert_int_equal(mr_expert_linear_backward_input(rt, &a.s, &a.t_do, &a.routes, w, &small, false, &o), MR_EINVAL);
    w[3] = &small;
    assert_int_equal(mr_expert_linear_backward_weight(rt, &a.s, &a.tx, &a.t_do, &a.routes, w, b), MR_EINVAL);
    a.s.topk.active = 5;
    assert_int_equal(mr_expert_linear_forward(rt, &a.s, &a.tx, &a.routes, w, b, &o, &o), MR_EINVAL);
    release(&o), release(&small);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward_input),
        cmocka_unit_test(test_backward_weight_adds),
        cmocka_unit_test(test_all_rows_on_few_experts),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_whole_mixture),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
