/* SPDX-License-Identifier: GPL-3.0-or-later
 * Orders of an epoch: permutations that differ. */
#include "unit_test.h"

#include <stdlib.h>

#include "train/order.h"

static void test_every_number_comes_once(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 100, 1000, 65536, 65537};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            char *seen = calloc(sizes[k], 1);
            assert_non_null(seen);
            for (uint64_t i = 0; i < sizes[k]; i++) {
                uint64_t at = mr_order_at(7, epoch, sizes[k], i);
                assert_true(at < sizes[k] && !seen[at]);
                seen[at] = 1;
            }
            free(seen);
        }
    }
}

static void test_orders_of_epochs_and_seeds_differ(void **state)
{
    (void)state;
    enum { N = 1000 };
    int same[3] = {0};
    for (uint64_t i = 0; i < N; i++) {
        uint64_t at = mr_order_at(7, 0, N, i);
        same[0] += at == i;
        same[1] += at == mr_order_at(7, 1, N, i);
        same[2] += at == mr_order_at(8, 0, N, i);
    }
    for (int k = 0; k < 3; k++)
        assert_true(same[k] < 10); /* 1 of a random one */
}

/* Neighbours land anywhere: the mean distance of two random numbers below n is n / 3. */
static void test_neighbours_come_apart(void **state)
{
    (void)state;
    enum { N = 10000 };
    double sum = 0;
    for (uint64_t i = 0; i + 1 < N; i++) {
        double distance = (double)mr_order_at(3, 5, N, i) - (double)mr_order_at(3, 5, N, i + 1);
        sum += distance < 0 ? -distance : distance;
    }
    assert_true(sum / N > 0.31 * N && sum / N < 0.36 * N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_comes_once),
        cmocka_unit_test(test_orders_of_epochs_and_seeds_differ),
        cmocka_unit_test(test_neighbours_come_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
