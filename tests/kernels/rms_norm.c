/* SPDX-License-Identifier: GPL-3.0-or-later
 * RMSNorm against the reference, and the reference against differences. */
#include "kernel_test.h"
#include "ops/rms_norm.h"
#include "ref/rms_norm.h"

static const float EPS = 1e-8f;

enum { RANDOM = 12, ROUNDS = RANDOM + WIDTHS };

static void random_shape(int round, int *rows, int *dim)
{
    static const int dims[] = {1, 2, 16, 17, 128, 768};
    uint64_t seed = 10 * (uint64_t)round;
    *rows = round >= RANDOM ? 2 : round ? random_int(seed, 1, 90) : 1;
    *dim = round >= RANDOM ? round - RANDOM + 1 : round < 6 ? dims[round] : random_int(seed + 1, 1, 400);
    test_case("rms_norm: rows %d dim %d, seed %llu", *rows, *dim, (unsigned long long)test_seed());
}

static void test_forward(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int rows, dim;
        random_shape(round, &rows, &dim);
        size_t n = (size_t)rows * (size_t)dim;
        double *x = random_array(1, n, round % 2 ? 1 : 1e-3), *y = zeros(n), *rstd = zeros((size_t)rows);
        mr_tensor tx = upload(x, n), ty = empty(n), trstd = empty((size_t)rows);
        must(mr_rms_norm_forward(test_runtime(), &tx, &ty, &trstd, rows, dim, EPS));
        mr_ref_rms_norm_forward(x, y, rstd, rows, dim, EPS);
        expect_near("y", &ty, y, n, 3e-6);
        expect_near("rstd", &trstd, rstd, (size_t)rows, 3e-6);
        release(&tx), release(&ty), release(&trstd);
        free(x), free(y), free(rstd);
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int rows, dim;
        random_shape(round, &rows, &dim);
        size_t n = (size_t)rows * (size_t)dim;
        double *x = random_array(1, n, 1), *dy = random_array(2, n, 1), *before = random_array(3, n, 1);
        double *dx = zeros(n);
        mr_tensor tx = upload(x, n), ty = empty(n), trstd = empty((size_t)rows), tdy = upload(dy, n), tdx = empty(n);
        must(mr_rms_norm_forward(test_runtime(), &tx, &ty, &trstd, rows, dim, EPS));
        must(mr_rms_norm_backward(test_runtime(), &ty, &trstd, &tdy, &tdx, rows, dim, false));
        mr_ref_rms_norm_backward(x, dy, dx, rows, dim, EPS);
        if (dim > 1) /* of one column the gradient is 0 but for rounding */
            expect_near("dx", &tdx, dx, n, 1e-5);
        mr_tensor tsum = upload(before, n);
        must(mr_rms_norm_backward(test_runtime(), &ty, &trstd, &tdy, &tsum, rows, dim, true));
        for (size_t i = 0; i < n; i++)
            before[i] += dx[i];
        if (dim > 1)
            expect_near("dx, added", &tsum, before, n, 1e-5);
        release(&tx), release(&ty), release(&trstd), release(&tdy), release(&tdx), release(&tsum);
        free(x), free(dy), free(before), free(dx);
    }
}

static void test_a_row_of_zeros_stays_finite(void **state)
{
    (void)state;
    test_case("rms_norm of zeros");
    mr_tensor x = zeroed(40), y = empty(40), rstd = empty(2), dx = empty(40);
    double *zero = zeros(40), *one = random_uniform(1, 40, 1, 1), *want = zeros(40);
    mr_tensor dy = upload(one, 40);
    must(mr_rms_norm_forward(test_runtime(), &x, &y, &rstd, 2, 20, EPS));
    expect_near("y", &y, zero, 40, 1e-6);
    must(mr_rms_norm_backward(test_runtime(), &y, &rstd, &dy, &dx, 2, 20, false));
    mr_ref_rms_norm_backward(zero, one, want, 2, 20, EPS);
    expect_near("dx", &dx, want, 40, 1e-5);
    release(&x), release(&y), release(&rstd), release(&dx), release(&dy);
    free(zero), free(one), free(want);
}

struct gradient_case {
    int rows, dim;
    double *x, *y, *rstd;
    const double *dy;
};

static double loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_rms_norm_forward(c->x, c->y, c->rstd, c->rows, c->dim, EPS);
    for (int i = 0; i < c->rows * c->dim; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    test_case("rms_norm reference");
    int rows = 3, dim = 7;
    double *x = random_array(1, 21, 1), *dy = random_array(2, 21, 1), *dx = zeros(21), *y = zeros(21), *rstd = zeros(3);
    struct gradient_case c = {rows, dim, x, y, rstd, dy};
    mr_ref_rms_norm_backward(x, dy, dx, rows, dim, EPS);
    expect_gradient("dx", loss, &c, x, dx, 21, 1e-6);
    free(x), free(dy), free(dx), free(y), free(rstd);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_tensor x = zeroed(10), rstd = zeroed(2);
    assert_int_equal(mr_rms_norm_forward(test_runtime(), &x, &x, &rstd, 2, 6, EPS), MR_EINVAL);
    assert_int_equal(mr_rms_norm_forward(test_runtime(), &x, &x, &rstd, 0, 5, EPS), MR_EINVAL);
    assert_int_equal(mr_rms_norm_backward(test_runtime(), &x, NULL, &x, &x, 2, 5, false), MR_EINVAL);
    release(&x), release(&rstd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_a_row_of_zeros_stays_finite),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
