/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU and ReLU against the reference, also in place, and the reference against differences. */
#include "kernel_test.h"
#include "ops/gelu.h"
#include "ref/gelu.h"

static void check(int act)
{
    static const int sizes[] = {1, 15, 17, 1000, 70001};
    mr_runtime *rt = test_runtime();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, sizeof sizes / sizeof *sizes, k);
        test_case("gelu: n %zu, activation %d, seed %llu", n, act, (unsigned long long)test_seed());
        double *x = random_array(1, n, 2), *dy = random_array(2, n, 1), *y = zeros(n), *dx = zeros(n);
        mr_ref_gelu_forward(x, y, n, act);
        mr_ref_gelu_backward(x, dy, dx, n, act);
        mr_tensor tx = upload(x, n), ty = empty(n), tdy = upload(dy, n), tdx = empty(n);
        must(mr_gelu_forward(rt, &tx, &ty, n, (enum mr_activation)act));
        expect_near("y", &ty, y, n, 1e-6);
        must(mr_gelu_backward(rt, &tx, &tdy, &tdx, n, (enum mr_activation)act));
        expect_near("dx", &tdx, dx, n, 2e-6);
        must(mr_gelu_backward(rt, &tx, &tdy, &tdy, n, (enum mr_activation)act));
        expect_near("dx in dy", &tdy, dx, n, 2e-6);
        must(mr_gelu_forward(rt, &tx, &tx, n, (enum mr_activation)act));
        expect_near("y in x", &tx, y, n, 1e-6);
        release(&tx), release(&ty), release(&tdy), release(&tdx);
        free(x), free(dy), free(y), free(dx);
    }
}

static void test_erf(void **state)
{
    (void)state;
    check(MR_ACT_GELU_ERF);
}

static void test_tanh(void **state)
{
    (void)state;
    check(MR_ACT_GELU_TANH);
}

static void test_quick(void **state)
{
    (void)state;
    check(MR_ACT_GELU_QUICK);
}

static void test_relu(void **state)
{
    (void)state;
    check(MR_ACT_RELU);
}

enum { N = 30 };
struct gradient_case {
    double *x;
    const double *dy;
    int act;
};

static double loss_of(void *context)
{
    struct gradient_case *c = context;
    double y[N], sum = 0;
    mr_ref_gelu_forward(c->x, y, N, c->act);
    for (int i = 0; i < N; i++)
        sum += y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    const int acts[] = {MR_ACT_GELU_ERF, MR_ACT_GELU_TANH, MR_ACT_GELU_QUICK, MR_ACT_RELU};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        double *x = random_array(5, N, 2), *dy = random_array(6, N, 1), dx[N];
        struct gradient_case c = {x, dy, acts[i]};
        mr_ref_gelu_backward(x, dy, dx, N, c.act);
        expect_gradient("gelu", loss_of, &c, x, dx, N, 1e-6);
        free(x), free(dy);
    }
}

static void test_other_activations_are_refused(void **state)
{
    (void)state;
    mr_tensor x = empty(4);
    assert_int_equal(mr_gelu_forward(test_runtime(), &x, &x, 4, MR_ACT_SILU), MR_EINVAL);
    assert_int_equal(mr_gelu_backward(test_runtime(), &x, &x, &x, 4, MR_ACT_NONE), MR_EINVAL);
    release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erf),
        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_other_activations_are_refused),
        cmocka_unit_test(test_reference_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
