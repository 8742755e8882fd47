/* SPDX-License-Identifier: GPL-3.0-or-later
 * The time mix's gate against the reference, also in place, and the reference against differences. */
#include "kernel_test.h"
#include "ops/silu_gate.h"
#include "ref/silu_gate.h"

static void test_forward_and_backward(void **state)
{
    (void)state;
    static const int sizes[] = {1, 15, 16, 17, 1000, 4097, 70001};
    mr_runtime *rt = test_runtime();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, sizeof sizes / sizeof *sizes, k);
        test_case("silu_gate: n %zu, seed %llu", n, (unsigned long long)test_seed());
        double *x = random_array(1, n, 1), *g = random_array(2, n, n < 100 ? 1 : 3), *dy = random_array(3, n, 1);
        double *y = zeros(n), *dx = zeros(n), *dg = zeros(n);
        mr_ref_silu_gate_forward(x, g, y, n);
        mr_ref_silu_gate_backward(x, g, dy, dx, dg, n);
        mr_tensor tx = upload(x, n), tg = upload(g, n), ty = empty(n), tdy = upload(dy, n);
        mr_tensor tdx = empty(n), tdg = empty(n);
        must(mr_silu_gate_forward(rt, &tx, &tg, &ty, n));
        expect_near("y", &ty, y, n, 1e-5);
        must(mr_silu_gate_backward(rt, &tx, &tg, &tdy, &tdx, &tdg, n));
        expect_near("dx", &tdx, dx, n, 1e-5);
        expect_near("dg", &tdg, dg, n, 1e-5);
        must(mr_silu_gate_backward(rt, &tx, &tg, &tdy, &tdy, &tg, n));
        expect_near("dx in dy", &tdy, dx, n, 1e-5);
        expect_near("dg in g", &tg, dg, n, 1e-5);
        release(&tx), release(&tg), release(&ty), release(&tdy), release(&tdx), release(&tdg);
        free(x), free(g), free(dy), free(y), free(dx), free(dg);
    }
}

static void test_far_gates_are_0_or_their_input(void **state)
{
    (void)state;
    test_case("silu_gate far from 0");
    const double g[] = {-1e4, -100, -90, 90, 100, 1e4}, x[] = {1, 1, 1, 1, 1, 1}, want[] = {0, 0, 0, 90, 100, 1e4};
    const double slope[] = {0, 0, 0, 1, 1, 1};
    mr_tensor tx = upload(x, 6), tg = upload(g, 6), ty = empty(6), tdx = empty(6), tdg = empty(6);
    must(mr_silu_gate_forward(test_runtime(), &tx, &tg, &ty, 6));
    expect_near("y", &ty, want, 6, 1e-6);
    must(mr_silu_gate_backward(test_runtime(), &tx, &tg, &tx, &tdx, &tdg, 6));
    expect_near("dx", &tdx, want, 6, 1e-6);
    expect_near("dg", &tdg, slope, 6, 1e-6);
    release(&tx), release(&tg), release(&ty), release(&tdx), release(&tdg);
}

enum { N = 20 };
struct gradient_case {
    double *x, *g, *y;
    const double *dy;
};

static double loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_silu_gate_forward(c->x, c->g, c->y, N);
    for (int i = 0; i < N; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    test_case("silu_gate reference");
    double *dy = random_array(3, N, 1), *dx = zeros(N), *dg = zeros(N);
    struct gradient_case c = {random_array(1, N, 1), random_array(2, N, 1), zeros(N), dy};
    mr_ref_silu_gate_backward(c.x, c.g, dy, dx, dg, N);
    expect_gradient("dx", loss, &c, c.x, dx, N, 1e-6);
    expect_gradient("dg", loss, &c, c.g, dg, N, 1e-6);
    free(dy), free(dx), free(dg), free(c.x), free(c.g), free(c.y);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_tensor a = zeroed(10);
    assert_int_equal(mr_silu_gate_forward(test_runtime(), &a, &a, &a, 11), MR_EINVAL);
    assert_int_equal(mr_silu_gate_backward(test_runtime(), &a, &a, &a, &a, NULL, 10), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_and_backward),
        cmocka_unit_test(test_far_gates_are_0_or_their_input),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
