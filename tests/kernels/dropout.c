/* SPDX-License-Identifier: GPL-3.0-or-later
 * Dropout draws the host generator's masks: same elements kept, at every size and key. */
#include "kernel_test.h"
#include "ops/dropout.h"
#include "ref/dropout.h"

static void test_masks_are_those_of_the_host(void **state)
{
    (void)state;
    static const int sizes[] = {1, 3, 4, 5, 63, 64, 65, 1000, 4097, 70001};
    static const float shares[] = {0.1f, 0.5f, 0.0f, 0.999999f};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, sizeof sizes / sizeof *sizes, k);
        struct mr_dropout d = {.p = shares[k % 4],
                               .seed = 1337 + ((uint64_t)k << 40),
                               .step = k * 5000000011u,
                               .site = k % 2 ? 3 : (1 << 20) - 1};
        test_case("dropout: n %zu p %g, seed %llu", n, (double)d.p, (unsigned long long)test_seed());
        double *x = random_array(1, n, 1), *want = zeros(n);
        mr_tensor tx = upload(x, n), ty = empty(n);
        must(mr_dropout_apply(test_runtime(), &d, &tx, &ty, n));
        mr_ref_dropout(d.p, d.seed, d.step, d.site, x, want, n);
        expect_near("y", &ty, want, n, 1e-6);
        must(mr_dropout_apply(test_runtime(), &d, &tx, &tx, n));
        expect_near("y in x", &tx, want, n, 1e-6);
        release(&tx), release(&ty);
        free(x), free(want);
    }
}

static double *mask_of(struct mr_dropout d, size_t n)
{
    double *ones = random_uniform(1, n, 1, 1);
    mr_tensor t = upload(ones, n);
    must(mr_dropout_apply(test_runtime(), &d, &t, &t, n));
    double *mask = download(&t, n);
    release(&t);
    free(ones);
    return mask;
}

static void test_mean_stays_and_keys_differ(void **state)
{
    (void)state;
    test_case("dropout mean");
    enum { N = 100000 };
    struct mr_dropout d = {.p = 0.2f, .seed = 1, .step = 7, .site = 2}, step = d, site = d, seed = d;
    step.step++, site.site++, seed.seed++;
    double *mask = mask_of(d, N), *others[] = {mask_of(step, N), mask_of(site, N), mask_of(seed, N)}, sum = 0;
    for (int i = 0; i < N; i++)
        sum += mask[i];
    assert_true(sum / N > 0.99 && sum / N < 1.01);
    for (int k = 0; k < 3; k++) {
        int equal = 0;
        for (int i = 0; i < N; i++)
            equal += (mask[i] > 0) == (others[k][i] > 0);
        assert_true(equal > 0.67 * N && equal < 0.69 * N); /* 0.8^2 + 0.2^2 */
        free(others[k]);
    }
    free(mask);
}

static void test_reference_gradient_is_the_same_mask(void **state)
{
    (void)state;
    double *x = random_array(1, 40, 1), *dy = random_array(2, 40, 1), *y = zeros(40), *dx = zeros(40);
    mr_ref_dropout(0.3f, 5, 6, 7, x, y, 40);
    mr_ref_dropout(0.3f, 5, 6, 7, dy, dx, 40);
    for (int i = 0; i < 40; i++) { /* y is linear in x: its slope is y / x */
        double difference = dx[i] - dy[i] * y[i] / x[i];
        assert_true(difference < 1e-12 && difference > -1e-12);
    }
    free(x), free(dy), free(y), free(dx);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_tensor a = zeroed(10);
    struct mr_dropout all = {.p = 1}, negative = {.p = -0.1f}, site = {.p = 0.1f, .site = 1 << 20}, fine = {.p = 0.1f};
    assert_int_equal(mr_dropout_apply(test_runtime(), &all, &a, &a, 10), MR_EINVAL);
    assert_int_equal(mr_dropout_apply(test_runtime(), &negative, &a, &a, 10), MR_EINVAL);
    assert_int_equal(mr_dropout_apply(test_runtime(), &site, &a, &a, 10), MR_EINVAL);
    assert_int_equal(mr_dropout_apply(test_runtime(), &fine, &a, &a, 11), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_are_those_of_the_host),
        cmocka_unit_test(test_mean_stays_and_keys_differ),
        cmocka_unit_test(test_reference_gradient_is_the_same_mask),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
