/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sums in a fixed order. */
#include "unit_test.h"

#include "comm/tree.h"

static float sum_of(const float *terms, int count)
{
    float values[16], *parts[16];
    for (int i = 0; i < count; i++) {
        values[i] = terms[i];
        parts[i] = &values[i];
    }
    mr_tree_sum(parts, count, 1);
    return values[0];
}

static void test_every_term_is_added_once(void **state)
{
    (void)state;
    float terms[16];
    for (int i = 0; i < 16; i++)
        terms[i] = (float)(1 << i);
    for (int count = 1; count <= 16; count++)
        assert_true(sum_of(terms, count) == (float)((1 << count) - 1));
}

/* 2^24 + 1 is no float: the order shows. */
static void test_four_terms_are_added_crosswise(void **state)
{
    (void)state;
    const float big = 16777216;
    assert_true(sum_of((const float[]){big, 1, -big, 1}, 4) == 2);
    assert_true(sum_of((const float[]){big, -big, 1, 1}, 4) == 1);
}

static void test_whole_vectors_are_added(void **state)
{
    (void)state;
    float a[] = {1, 2, 3}, b[] = {10, 20, 30}, c[] = {100, 200, 300}, *parts[] = {a, b, c};
    mr_tree_sum(parts, 3, 3);
    assert_true(a[0] == 111 && a[1] == 222 && a[2] == 333);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_term_is_added_once),
        cmocka_unit_test(test_four_terms_are_added_crosswise),
        cmocka_unit_test(test_whole_vectors_are_added),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
