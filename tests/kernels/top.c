/* SPDX-License-Identifier: GPL-3.0-or-later
 * The k largest numbers of rows against a sort. */
#include "kernel_test.h"

#include <math.h>
#include <string.h>

#include "ops/top.h"
#include "ref/top.h"

static void check_numbers(const double *x, int rows, int n, int k)
{
    size_t all = (size_t)rows * (size_t)n, some = (size_t)rows * (size_t)k;
    int32_t *want = random_integers(0, some, 0, 0);
    double *best = zeros(some);
    mr_ref_top(x, want, rows, n, k);
    for (size_t i = 0; i < some; i++)
        best[i] = x[i / (size_t)k * (size_t)n + (size_t)want[i]];
    mr_tensor logits = upload(x, all), values = empty(some), ids = empty_i32(some);
    must(mr_top(test_runtime(), &logits, rows, n, k, &values, &ids));
    expect_equal_i32("ids", &ids, want, some);
    double *got = download(&values, some);
    for (size_t i = 0; i < some; i++)
        assert_true(got[i] == best[i]);
    free(got);
    release(&logits), release(&values), release(&ids);
    free(want), free(best);
}

static void test_random_rows(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 15, 16, 17, 100, 256, 1000, 2047, 2048, 2049, 5000, 50304, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int n = sizes[i], rows = random_int(i, 1, 5), most = n < MR_TOP ? n : MR_TOP;
        const int ks[] = {1, random_int(i + 40, 1, most), most};
        double *x = random_array(100 * test_seed() + i, (size_t)rows * (size_t)n, 5);
        for (int which = 0; which < 3; which++) {
            test_case("top: rows %d n %d k %d", rows, n, ks[which]);
            check_numbers(x, rows, n, ks[which]);
        }
        free(x);
    }
}

/* Few different numbers: many more reach the k-th largest than are wanted. */
static void test_equal_numbers_go_by_place(void **state)
{
    (void)state;
    enum { N = 9000 };
    static const double few[] = {3, 0, -0.0, -INFINITY, 2, INFINITY};
    double *x = zeros(N);
    int32_t *which = random_integers(7 * test_seed(), N, 0, 5);
    for (int different = 1; different <= 6; different++)
        for (int k = 1; k <= MR_TOP; k = 4 * k + 1) {
            test_case("top: %d different numbers, k %d", different, k);
            for (int i = 0; i < N; i++)
                x[i] = few[which[i] % different];
            check_numbers(x, 1, N, k);
        }
    free(x), free(which);
}

static void test_the_largest_in_one_set(void **state)
{
    (void)state;
    enum { N = 65536, APART = 2048 };
    double *x = random_array(9 * test_seed(), N, 1);
    for (int i = 5; i < N; i += APART)
        x[i] = 100 + i;
    test_case("top: the largest lie %d apart", APART);
    check_numbers(x, 1, N, 200);
    free(x);
}

/* Whatever their sign, so that a row with one of them is known for it. */
static void test_what_is_no_number_comes_first(void **state)
{
    (void)state;
    enum { N = 5000, K = 40, AT = 1234 };
    double *x = random_array(11 * test_seed(), N, 5);
    for (int k = 1; k <= K; k += K - 1)
        for (int negative = 0; negative < 2; negative++) {
            test_case("top: %s NaN, k %d", negative ? "a negative" : "a", k);
            x[AT] = negative ? -(double)NAN : (double)NAN;
            mr_tensor logits = upload(x, N), values = empty((size_t)k), ids = empty_i32((size_t)k);
            must(mr_top(test_runtime(), &logits, 1, N, k, &values, &ids));
            int32_t *got = download_i32(&ids, (size_t)k);
            double *value = download(&values, (size_t)k);
            assert_int_equal(got[0], AT);
            assert_true(isnan(value[0]));
            release(&logits), release(&values), release(&ids);
            free(got), free(value);
        }
    free(x);
}

static void test_rows_of_no_numbers_end(void **state)
{
    (void)state;
    enum { N = 300, K = 200 };
    double *x = zeros(N);
    for (int i = 0; i < N; i++)
        x[i] = i % 2 ? NAN : i;
    mr_tensor logits = upload(x, N), values = empty(K), ids = empty_i32(K);
    must(mr_top(test_runtime(), &logits, 1, N, K, &values, &ids));
    int32_t *got = download_i32(&ids, K);
    for (int i = 0; i < K; i++)
        assert_in_range(got[i], 0, N - 1);
    release(&logits), release(&values), release(&ids);
    free(x), free(got);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(20), values = empty(6), ids = empty_i32(6);
    must(mr_top(rt, &a, 2, 10, 3, &values, &ids));
    assert_int_equal(mr_top(rt, &a, 2, 10, 4, &a, &ids), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "ids"));
    assert_int_equal(mr_top(rt, &a, 2, 11, 3, &a, &ids), MR_EINVAL);
    assert_int_equal(mr_top(rt, &a, 1, 2, 3, &a, &ids), MR_EINVAL);
    assert_int_equal(mr_top(rt, &a, 1, 20, 0, &a, &ids), MR_EINVAL);
    release(&a), release(&values), release(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rows),
        cmocka_unit_test(test_equal_numbers_go_by_place),
        cmocka_unit_test(test_the_largest_in_one_set),
        cmocka_unit_test(test_what_is_no_number_comes_first),
        cmocka_unit_test(test_rows_of_no_numbers_end),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
