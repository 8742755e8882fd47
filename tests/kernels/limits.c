/* SPDX-License-Identifier: GPL-3.0-or-later
 * What bench limits times does all of its work. */
#include "kernel_test.h"
#include "ops/limits.h"
#include "ref/limits.h"

static void test_every_round_is_computed(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    size_t items = mr_limits_items(rt);
    double *want = zeros(items);
    for (int rounds = 1; rounds <= 1000; rounds *= 10) {
        test_case("limits: %d rounds", rounds);
        mr_tensor y = empty(items);
        must(mr_limits_fma(rt, &y, rounds));
        mr_ref_limits_fma(want, items, mr_runtime_info(rt)->vec, rounds);
        expect_near("y", &y, want, items, 1e-4);
        release(&y);
    }
    free(want);
}

static void test_every_number_is_read(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    size_t items = mr_limits_items(rt);
    for (int round = 0; round < 20; round++) {
        size_t n = 16 * (size_t)random_int((uint64_t)round, 1, round < 10 ? 40 : 60000);
        double *x = random_uniform((uint64_t)round, n, 0.5, 1), sum = 0;
        test_case("limits: %zu numbers", n);
        mr_tensor in = upload(x, n), y = empty(items);
        must(mr_limits_read(rt, &in, n, &y));
        double *parts = download(&y, items), want = mr_ref_limits_read(x, n);
        for (size_t i = 0; i < items; i++)
            sum += parts[i];
        expect_near_host("sum", &sum, &want, 1, 1e-5);
        release(&in), release(&y);
        free(x), free(parts);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor x = zeroed(64), y = zeroed(mr_limits_items(rt)), one = zeroed(1);
    assert_int_equal(mr_limits_fma(rt, &y, 0), MR_EINVAL);
    assert_int_equal(mr_limits_fma(rt, &one, 1), MR_EINVAL);
    assert_int_equal(mr_limits_read(rt, &x, 65, &y), MR_EINVAL);
    assert_int_equal(mr_limits_read(rt, &x, 80, &y), MR_EINVAL);
    release(&x), release(&y), release(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_round_is_computed),
        cmocka_unit_test(test_every_number_is_read),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
