/* SPDX-License-Identifier: GPL-3.0-or-later
 * Products of a matrix with one to eight vectors, from either side and in either orientation. */
#include "gemm_cases.h"

static void test_every_number_of_vectors(void **state)
{
    (void)state;
    for (int vectors = 1; vectors <= 8; vectors++)
        for (int trans = 0; trans < 4; trans++) {
            int extra = vectors % 2 ? GEMM_BETA : GEMM_BIAS;
            expect_product(vectors, 130, 67, trans & 1, trans & 2, extra);
            expect_product(71, vectors, 130, trans & 1, trans & 2, extra);
        }
}

static void test_sizes_at_the_edges(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1},    {1, 16},  {3, 15},  {4, 17},   {5, 1},
                                   {64, 128}, {65, 64}, {100, 3}, {513, 31}, {33, 770}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int trans = 0; trans < 4; trans++) {
            expect_product(1, sizes[i][0], sizes[i][1], trans & 1, trans & 2, GEMM_BIAS);
            expect_product(sizes[i][0], 1, sizes[i][1], trans & 1, trans & 2, 0);
            expect_product(3, sizes[i][0], sizes[i][1], trans & 1, trans & 2, 0);
        }
}

static void test_places_and_batches(void **state)
{
    (void)state;
    for (int round = 0; round < 24; round++) {
        uint64_t seed = 900 + 10 * (uint64_t)round;
        int few = random_int(seed, 1, 8), many = random_int(seed + 1, 1, 300), k = random_int(seed + 2, 1, 300);
        int extra = random_int(seed + 3, 0, 15) | (round % 2 ? GEMM_APART : GEMM_BATCH);
        bool left = random_int(seed + 4, 0, 1);
        expect_product(left ? few : many, left ? many : few, k, round & 1, round & 2, extra);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_of_vectors),
        cmocka_unit_test(test_sizes_at_the_edges),
        cmocka_unit_test(test_places_and_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
