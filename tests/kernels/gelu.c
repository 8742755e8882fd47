/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU against the reference, also in place, and the reference against differences. */
#include "kernel_test.h"
#include "ops/gelu.h"
#include "ref/gelu.h"

static void check(bool tanh_form)
{
    static const int sizes[] = {1, 15, 17, 1000, 70001};
    mr_runtime *rt = test_runtime();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, sizeof sizes / sizeof *sizes, k);
        test_case("gelu: n %zu, tanh form %d, seed %llu", n, tanh_form, (unsigned long long)test_seed());
        double *x = random_array(1, n, 2), *dy = random_array(2, n, 1), *y = zeros(n), *dx = zeros(n);
        mr_ref_gelu_forward(x, y, n, tanh_form);
        mr_ref_gelu_backward(x, dy, dx, n, tanh_form);
        mr_tensor tx = upload(x, n), ty = empty(n), tdy = upload(dy, n), tdx = empty(n);
        must(mr_gelu_forward(rt, &tx, &ty, n, tanh_form));
        expect_near("y", &ty, y, n, 1e-6);
        must(mr_gelu_backward(rt, &tx, &tdy, &tdx, n, tanh_form));
        expect_near("dx", &tdx, dx, n, 2e-6);
        must(mr_gelu_backward(rt, &tx, &tdy, &tdy, n, tanh_form));
        expect_near("dx in dy", &tdy, dx, n, 2e-6);
        must(mr_gelu_forward(rt, &tx, &tx, n, tanh_form));
        expect_near("y in x", &tx, y, n, 1e-6);
        release(&tx), release(&ty), release(&tdy), release(&tdx);
        free(x), free(dy), free(y), free(dx);
    }
}

static void test_erf(void **state)
{
    (void)state;
    check(false);
}

static void test_tanh(void **state)
{
    (void)state;
    check(true);
}

enum { N = 30 };
struct gradient_case {
    double *x;
    const double *dy;
    bool tanh_form;
};

static double loss_of(void *context)
{
    struct gradient_case *c = context;
    double y[N], sum = 0;
    mr_ref_gelu_forward(c->x, y, N, c->tanh_form);
    for (int i = 0; i < N; i++)
        sum += y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    for (int tanh_form = 0; tanh_form < 2; tanh_form++) {
        double *x = random_array(5, N, 2), *dy = random_array(6, N, 1), dx[N];
        struct gradient_case c = {x, dy, tanh_form == 1};
        mr_ref_gelu_backward(x, dy, dx, N, c.tanh_form);
        expect_gradient("gelu", loss_of, &c, x, dx, N, 1e-6);
        free(x), free(dy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erf),
        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_reference_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
