/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-6's token shift against the reference. */
#include <string.h>

#include "kernel_test.h"
#include "ops/dynamic_shift.h"
#include "ref/dynamic_shift.h"

enum { MIXTURES = MR_DYNAMIC_MIXTURES };

static void check(uint64_t seed, int batch, int time, int dim, bool with_previous)
{
    size_t C = (size_t)dim, n = (size_t)batch * (size_t)time * C;
    test_case("dynamic_shift: batch %d time %d dim %d %s previous, seed %llu", batch, time, dim,
              with_previous ? "with" : "without", (unsigned long long)seed);
    double *x = random_array(seed, n, 1), *previous = random_array(seed + 1, (size_t)batch * C, 1);
    double *maa = random_array(seed + 2, MIXTURES * C, 1), *m = random_array(seed + 3, MIXTURES * n, 1),
           *want = zeros(MIXTURES * n);
    mr_tensor tx = upload(x, n), before = upload(previous, (size_t)batch * C), mixed = upload(m, MIXTURES * n),
              vectors[MIXTURES];
    const mr_tensor *list[MIXTURES];
    for (int k = 0; k < MIXTURES; k++) {
        vectors[k] = upload(maa + (size_t)k * C, C);
        list[k] = &vectors[k];
        mr_ref_dynamic_shift_forward(x, with_previous ? previous : NULL, maa + (size_t)k * C, m + (size_t)k * n,
                                     want + (size_t)k * n, batch, time, dim);
    }
    must(mr_dynamic_shift_forward(test_runtime(), &tx, with_previous ? &before : NULL, list, &mixed, batch, time, dim));
    expect_near("mixed", &mixed, want, MIXTURES * n, 1e-6);
    for (int k = 0; k < MIXTURES; k++)
        release(&vectors[k]);
    release(&tx), release(&before), release(&mixed);
    free(x), free(previous), free(maa), free(m), free(want);
}

static void test_random_shapes(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 24; round++) {
        uint64_t seed = 1000 * test_seed() + 10 * round;
        check(seed, random_int(seed, 1, 4), random_int(seed + 1, 1, 40), random_int(seed + 2, 1, 150), round % 2 == 0);
    }
}

static void test_single_positions(void **state)
{
    (void)state;
    check(1, 1, 1, 1, false);
    check(2, 1, 1, 2048, true);
    check(3, 7, 1, 33, true);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(60), none = {0};
    const mr_tensor *maa[] = {&a, &a, &a, &a, &a}, *lacking[] = {&a, &a, &a, &a, &none};
    assert_int_equal(mr_dynamic_shift_forward(rt, &a, NULL, maa, &a, 2, 2, 4), MR_EINVAL); /* 80 mixed */
    assert_non_null(strstr(mr_error_text(), "mixed"));
    assert_int_equal(mr_dynamic_shift_forward(rt, &a, NULL, lacking, &a, 1, 3, 4), MR_EINVAL);
    assert_int_equal(mr_dynamic_shift_forward(rt, &a, NULL, maa, &a, 0, 3, 4), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_single_positions),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
