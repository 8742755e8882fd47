/* SPDX-License-Identifier: GPL-3.0-or-later
 * The channel mix's element-wise parts against the reference, also in place, and the reference against
 * differences. */
#include "kernel_test.h"
#include "ops/channel_mix.h"
#include "ref/channel_mix.h"

static const int sizes[] = {1, 15, 16, 17, 1000, 4097, 70001};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_squared_relu(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("squared_relu: n %zu, seed %llu", n, (unsigned long long)test_seed());
        double *x = random_array(1, n, 1), *dy = random_array(2, n, 1), *y = zeros(n), *dx = zeros(n);
        mr_ref_squared_relu_forward(x, y, n);
        mr_ref_squared_relu_backward(x, dy, dx, n);
        mr_tensor tx = upload(x, n), ty = empty(n), tdy = upload(dy, n), tdx = empty(n);
        must(mr_squared_relu_forward(rt, &tx, &ty, n));
        expect_near("y", &ty, y, n, 1e-6);
        must(mr_squared_relu_backward(rt, &tx, &tdy, &tdx, n));
        expect_near("dx", &tdx, dx, n, 1e-6);
        must(mr_squared_relu_backward(rt, &tx, &tdy, &tdy, n));
        expect_near("dx in dy", &tdy, dx, n, 1e-6);
        must(mr_squared_relu_forward(rt, &tx, &tx, n));
        expect_near("y in x", &tx, y, n, 1e-6);
        release(&tx), release(&ty), release(&tdy), release(&tdx);
        free(x), free(dy), free(y), free(dx);
    }
}

static void test_sigmoid_gate(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("sigmoid_gate: n %zu, seed %llu", n, (unsigned long long)test_seed());
        double *r = random_array(1, n, n < 100 ? 1 : 3), *v = random_array(2, n, 1), *dy = random_array(3, n, 1);
        double *y = zeros(n), *dr = zeros(n), *dv = zeros(n);
        mr_ref_sigmoid_gate_forward(r, v, y, n);
        mr_ref_sigmoid_gate_backward(r, v, dy, dr, dv, n);
        mr_tensor tr = upload(r, n), tv = upload(v, n), ty = empty(n), tdy = upload(dy, n);
        mr_tensor tdr = empty(n), tdv = empty(n);
        must(mr_sigmoid_gate_forward(rt, &tr, &tv, &ty, n));
        expect_near("y", &ty, y, n, 1e-5);
        must(mr_sigmoid_gate_backward(rt, &tr, &tv, &tdy, &tdr, &tdv, n));
        expect_near("dr", &tdr, dr, n, 1e-5);
        expect_near("dv", &tdv, dv, n, 1e-5);
        must(mr_sigmoid_gate_backward(rt, &tr, &tv, &tdy, &tdy, &tv, n));
        expect_near("dr in dy", &tdy, dr, n, 1e-5);
        expect_near("dv in v", &tv, dv, n, 1e-5);
        release(&tr), release(&tv), release(&ty), release(&tdy), release(&tdr), release(&tdv);
        free(r), free(v), free(dy), free(y), free(dr), free(dv);
    }
}

static void test_far_gates_are_closed_or_open(void **state)
{
    (void)state;
    test_case("sigmoid_gate far from 0");
    const double r[] = {-1e4, -100, -90, 90, 100, 1e4}, v[] = {1, 1, 1, 1, 1, 1}, want[] = {0, 0, 0, 1, 1, 1};
    const double nothing[6] = {0};
    mr_tensor tr = upload(r, 6), tv = upload(v, 6), ty = empty(6), tdr = empty(6), tdv = empty(6);
    must(mr_sigmoid_gate_forward(test_runtime(), &tr, &tv, &ty, 6));
    expect_near("y", &ty, want, 6, 1e-6);
    must(mr_sigmoid_gate_backward(test_runtime(), &tr, &tv, &tv, &tdr, &tdv, 6));
    expect_near("dr", &tdr, nothing, 6, 1e-6);
    expect_near("dv", &tdv, want, 6, 1e-6);
    release(&tr), release(&tv), release(&ty), release(&tdr), release(&tdv);
}

enum { N = 20 };
struct gradient_case {
    double *r, *v, *y;
    const double *dy;
};

static double gate_loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_sigmoid_gate_forward(c->r, c->v, c->y, N);
    for (int i = 0; i < N; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static double relu_loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_squared_relu_forward(c->r, c->y, N);
    for (int i = 0; i < N; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradients(void **state)
{
    (void)state;
    test_case("channel_mix reference");
    double *dy = random_array(3, N, 1), *dr = zeros(N), *dv = zeros(N);
    struct gradient_case c = {random_array(1, N, 1), random_array(2, N, 1), zeros(N), dy};
    mr_ref_sigmoid_gate_backward(c.r, c.v, dy, dr, dv, N);
    expect_gradient("dr", gate_loss, &c, c.r, dr, N, 1e-6);
    expect_gradient("dv", gate_loss, &c, c.v, dv, N, 1e-6);
    mr_ref_squared_relu_backward(c.r, dy, dr, N);
    expect_gradient("dx", relu_loss, &c, c.r, dr, N, 1e-6);
    free(dy), free(dr), free(dv), free(c.r), free(c.v), free(c.y);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_tensor a = zeroed(10);
    assert_int_equal(mr_squared_relu_forward(test_runtime(), &a, &a, 11), MR_EINVAL);
    assert_int_equal(mr_sigmoid_gate_forward(test_runtime(), &a, NULL, &a, 10), MR_EINVAL);
    assert_int_equal(mr_sigmoid_gate_backward(test_runtime(), &a, &a, &a, &a, &a, 0), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squared_relu),
        cmocka_unit_test(test_sigmoid_gate),
        cmocka_unit_test(test_far_gates_are_closed_or_open),
        cmocka_unit_test(test_reference_gradients),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
