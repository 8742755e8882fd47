/* SPDX-License-Identifier: GPL-3.0-or-later
 * Learned positions of a decoding step against the reference. */
#include "kernel_test.h"

#include <string.h>

#include "ops/place.h"
#include "ref/place.h"

static void test_random_shapes(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 16; round++) {
        uint64_t seed = 1000 * test_seed() + 10 * round;
        int rows = random_int(seed, 1, 20), dim = random_int(seed + 1, 1, 200), places = random_int(seed + 2, 1, 30);
        size_t n = (size_t)rows * (size_t)dim, table = (size_t)places * (size_t)dim;
        test_case("place: rows %d dim %d places %d", rows, dim, places);
        double *x = random_array(seed, n, 1), *wpe = random_array(seed + 1, table, 1);
        int first = (int)(round % 3);
        int32_t *positions = random_integers(seed + 2, (size_t)rows, round % 4 ? 0 : -2, places + (round % 4 ? -1 : 2));
        mr_tensor y = upload(x, n), w = upload(wpe, table), at = upload_i32(positions, (size_t)rows);
        must(mr_place_step(test_runtime(), &at, &w, &y, rows, dim, places, first));
        mr_ref_place_step(positions, wpe, x, rows, dim, places, first);
        expect_near("y", &y, x, n, 1e-6);
        release(&y), release(&w), release(&at);
        free(x), free(wpe), free(positions);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(12), y = zeroed(12), at = upload_i32((const int32_t[]){0, 1}, 2);
    must(mr_place_step(rt, &at, &a, &y, 2, 6, 2, 0));
    assert_int_equal(mr_place_step(rt, &at, &a, &a, 2, 6, 3, 0), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "wpe"));
    assert_int_equal(mr_place_step(rt, &at, &a, &a, 3, 4, 2, 0), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "positions"));
    release(&a), release(&y), release(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
