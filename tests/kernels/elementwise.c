/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sums, products and sums over rows against the reference, at sizes that fit no vector. */
#include <string.h>

#include "kernel_test.h"
#include "ops/elementwise.h"
#include "ref/elementwise.h"

static const int sizes[] = {1, 3, 15, 16, 17, 64, 1000, 4097, 70001};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_add(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("add: n %zu", n);
        double *a = random_array(1, n, 1), *b = random_array(2, n, 1), *want = zeros(n);
        mr_ref_add_forward(a, b, want, n);
        mr_tensor ta = upload(a, n), tb = upload(b, n), ty = empty(n);
        must(mr_add_forward(test_runtime(), &ta, &tb, &ty, n));
        expect_near("y", &ty, want, n, 1e-6);
        must(mr_add_forward(test_runtime(), &ta, &tb, &tb, n));
        expect_near("y in b", &tb, want, n, 1e-6);
        release(&ta), release(&tb), release(&ty);
        free(a), free(b), free(want);
    }
}

static void test_accumulate(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("accumulate: n %zu", n);
        double *x = random_array(1, n, 1), *y = random_array(2, n, 1);
        mr_tensor tx = upload(x, n), ty = upload(y, n);
        must(mr_accumulate(test_runtime(), &tx, &ty, n));
        mr_ref_accumulate(x, y, n);
        expect_near("y", &ty, y, n, 1e-6);
        release(&tx), release(&ty);
        free(x), free(y);
    }
}

static void test_scale(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("scale: n %zu", n);
        double *x = random_array(1, n, 1);
        mr_tensor tx = upload(x, n);
        must(mr_scale(test_runtime(), &tx, n, -1.5f));
        mr_ref_scale(x, n, -1.5);
        expect_near("x", &tx, x, n, 1e-6);
        release(&tx);
        free(x);
    }
}

static void check_unary(const char *name, int (*op)(mr_runtime *, const mr_tensor *, const mr_tensor *, size_t),
                        void (*reference)(const double *, double *, size_t))
{
    for (int k = 0; k < SIZES + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, SIZES, k);
        test_case("%s: n %zu", name, n);
        double *x = random_array(1, n, 2), *want = zeros(n);
        reference(x, want, n);
        mr_tensor tx = upload(x, n), ty = empty(n);
        must(op(test_runtime(), &tx, &ty, n));
        expect_near("y", &ty, want, n, 1e-6);
        must(op(test_runtime(), &tx, &tx, n));
        expect_near("y in x", &tx, want, n, 1e-6);
        release(&tx), release(&ty);
        free(x), free(want);
    }
}

static void test_tanh(void **state)
{
    (void)state;
    check_unary("tanh", mr_tanh_forward, mr_ref_tanh_forward);
}

static void test_sigmoid(void **state)
{
    (void)state;
    check_unary("sigmoid", mr_sigmoid_forward, mr_ref_sigmoid_forward);
}

typedef int device_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, size_t n);
typedef void reference(const double *x, double *y, size_t n);
typedef void reference_backward(const double *y, const double *dy, double *dx, size_t n);

struct unary {
    reference *forward;
    double *x, *dy;
    size_t n;
};

static double unary_loss(void *context)
{
    struct unary *u = context;
    double *y = zeros(u->n), sum = 0;
    u->forward(u->x, y, u->n);
    for (size_t i = 0; i < u->n; i++)
        sum += y[i] * u->dy[i];
    free(y);
    return sum;
}

/* In place too; and the reference is the slope. */
static void check_unary_backward(const char *name, device_backward *device, reference *forward,
                                 reference_backward *backward)
{
    for (size_t n = 1; n <= 300; n = 2 * n + 1) {
        struct unary u = {forward, random_array(n * test_seed(), n, 1), random_array(n * test_seed() + 9, n, 1), n};
        double *y = zeros(n), *dx = zeros(n);
        test_case("%s backward: n %zu", name, n);
        forward(u.x, y, n);
        mr_tensor t_y = upload(y, n), t_dy = upload(u.dy, n), t_dx = empty(n);
        must(device(test_runtime(), &t_y, &t_dy, &t_dx, n));
        must(device(test_runtime(), &t_y, &t_dy, &t_dy, n));
        backward(y, u.dy, dx, n);
        expect_near("dx", &t_dx, dx, n, 2e-6);
        expect_near("dx in place", &t_dy, dx, n, 2e-6);
        expect_gradient("x", unary_loss, &u, u.x, dx, n, 1e-6);
        release(&t_y), release(&t_dy), release(&t_dx);
        free(y), free(dx), free(u.x), free(u.dy);
    }
}

static void test_tanh_backward(void **state)
{
    (void)state;
    check_unary_backward("tanh", mr_tanh_backward, mr_ref_tanh_forward, mr_ref_tanh_backward);
}

static void test_sigmoid_backward(void **state)
{
    (void)state;
    check_unary_backward("sigmoid", mr_sigmoid_backward, mr_ref_sigmoid_forward, mr_ref_sigmoid_backward);
}

/* Each number relative to itself: from tiny ones, where tanh(x) is x, over the seam to those where it is 1. */
static void test_tanh_is_exact_near_and_far(void **state)
{
    (void)state;
    for (double x = 1e-30; x < 1e5; x *= 1.07) {
        float values[2] = {(float)x, (float)-x};
        double pair[2] = {values[0], values[1]}, want[2];
        test_case("tanh: x %g", pair[0]);
        mr_ref_tanh_forward(pair, want, 2);
        mr_tensor t = upload(pair, 2);
        must(mr_tanh_forward(test_runtime(), &t, &t, 2));
        expect_near("y", &t, want, 2, 1e-6);
        release(&t);
    }
}

/* A matrix of rows x dim within rows of `stride`, from column `at` on; the rest is -7. */
static mr_tensor spread(const double *a, int rows, int dim, int stride, int at)
{
    double *all = zeros((size_t)rows * (size_t)stride);
    for (int i = 0; i < rows * stride; i++)
        all[i] = -7;
    for (int row = 0; row < rows; row++)
        for (int i = 0; a && i < dim; i++)
            all[row * stride + at + i] = a[row * dim + i];
    mr_tensor t = upload(all, (size_t)rows * (size_t)stride);
    free(all);
    return t;
}

static void expect_spread(const char *what, const mr_tensor *got, const double *want, int rows, int dim, int stride,
                          int at)
{
    mr_tensor whole = spread(want, rows, dim, stride, at);
    double *all = download(&whole, (size_t)rows * (size_t)stride);
    expect_near(what, got, all, (size_t)rows * (size_t)stride, 1e-6);
    release(&whole);
    free(all);
}

static void test_multiply_of_columns(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        int rows = random_int((uint64_t)round, 1, 70), dim = random_int(100 + (uint64_t)round, 1, 150);
        int wide = 4 * dim, at = random_int(200 + (uint64_t)round, 0, 3 * dim);
        size_t n = (size_t)rows * (size_t)dim;
        test_case("multiply: rows %d dim %d stride %d from column %d", rows, dim, wide, at);
        double *a = random_array(1, n, 1), *b = random_array(2, n, 1), *dy = random_array(3, n, 1);
        double *y = zeros(n), *da = zeros(n), *db = zeros(n);
        mr_ref_multiply_forward(a, b, y, n);
        mr_ref_multiply_backward(a, b, dy, da, db, n);
        mr_tensor ta = upload(a, n), tb = spread(b, rows, dim, wide, at), ty = empty(n), tdy = upload(dy, n);
        mr_tensor tda = empty(n), tdb = spread(NULL, rows, dim, wide, at);
        struct mr_columns ca = {&ta, 0, 0}, cb = {&tb, (size_t)at, wide}, cy = {&ty, 0, dim}, cdy = {&tdy, 0, 0};
        struct mr_columns cda = {&tda, 0, 0}, cdb = {&tdb, (size_t)at, wide};
        must(mr_multiply_forward(test_runtime(), ca, cb, cy, rows, dim));
        expect_near("y", &ty, y, n, 1e-6);
        must(mr_multiply_backward(test_runtime(), ca, cb, cdy, cda, cdb, rows, dim));
        expect_near("da", &tda, da, n, 1e-6);
        expect_spread("db", &tdb, db, rows, dim, wide, at);
        must(mr_multiply_backward(test_runtime(), ca, cb, cdy, cdy, cdb, rows, dim));
        expect_near("da in dy", &tdy, da, n, 1e-6);
        release(&ta), release(&tb), release(&ty), release(&tdy), release(&tda), release(&tdb);
        free(a), free(b), free(dy), free(y), free(da), free(db);
    }
}

static void test_sum_rows_adds_to_each_output(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        int rows = random_int((uint64_t)round, 1, 70), dim = random_int(100 + (uint64_t)round, 1, 400);
        int count = 1 + round % 6, skip = round % 3 ? -1 : count / 2;
        size_t n = (size_t)rows * (size_t)(count * dim);
        test_case("sum_rows: rows %d count %d dim %d", rows, count, dim);
        double *partial = random_array(1, n, 1), *y = random_array(2, (size_t)(count * dim), 1);
        mr_tensor tp = upload(partial, n), ty[6];
        const mr_tensor *to[6];
        for (int k = 0; k < count; k++) {
            ty[k] = upload(y + k * dim, (size_t)dim);
            to[k] = k == skip ? NULL : &ty[k];
        }
        must(mr_sum_rows(test_runtime(), &tp, to, rows, count, dim));
        mr_ref_sum_rows(partial, y, rows, count, dim);
        for (int k = 0; k < count; k++) {
            if (k != skip)
                expect_near("y", &ty[k], y + k * dim, (size_t)dim, 1e-5);
            release(&ty[k]);
        }
        release(&tp);
        free(partial), free(y);
    }
}

static void test_products_of_the_reference_have_its_gradients(void **state)
{
    (void)state;
    double a = 1.5, b = -0.5, dy = 2, da, db, h = 1e-6, high, low, y;
    mr_ref_multiply_backward(&a, &b, &dy, &da, &db, 1);
    a += h, mr_ref_multiply_forward(&a, &b, &high, 1);
    a -= 2 * h, mr_ref_multiply_forward(&a, &b, &low, 1);
    a += h, y = dy * (high - low) / (2 * h);
    assert_true(da - y < 1e-8 && y - da < 1e-8);
    b += h, mr_ref_multiply_forward(&a, &b, &high, 1);
    b -= 2 * h, mr_ref_multiply_forward(&a, &b, &low, 1);
    y = dy * (high - low) / (2 * h);
    assert_true(db - y < 1e-8 && y - db < 1e-8);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(10), none = {0};
    assert_int_equal(mr_add_forward(rt, &a, &a, &a, 11), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "add"));
    assert_int_equal(mr_add_forward(rt, &a, &a, &a, 0), MR_EINVAL);
    assert_int_equal(mr_accumulate(rt, &none, &a, 10), MR_EINVAL);
    assert_int_equal(mr_scale(rt, &a, 11, 2), MR_EINVAL);
    assert_int_equal(mr_tanh_forward(rt, &a, &none, 10), MR_EINVAL);
    struct mr_columns tight = {&a, 0, 0}, outside = {&a, 1, 5};
    assert_int_equal(mr_multiply_forward(rt, tight, outside, tight, 2, 5), MR_EINVAL);
    assert_int_equal(mr_multiply_forward(rt, tight, tight, tight, 2, 6), MR_EINVAL);
    const mr_tensor *to[] = {&a};
    assert_int_equal(mr_sum_rows(rt, &a, to, 1, 7, 1), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_tanh_backward),
        cmocka_unit_test(test_sigmoid_backward),
        cmocka_unit_test(test_tanh_is_exact_near_and_far),
        cmocka_unit_test(test_multiply_of_columns),
        cmocka_unit_test(test_sum_rows_adds_to_each_output),
        cmocka_unit_test(test_products_of_the_reference_have_its_gradients),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
