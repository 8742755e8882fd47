/* SPDX-License-Identifier: GPL-3.0-or-later
 * What lies between the products of a mixture's decoding step, against the references. */
#include "kernel_test.h"

#include <math.h>
#include <string.h>

#include "ops/mixture_step.h"
#include "ref/mixture_step.h"

static void check_dense(uint64_t seed, int rows, int experts, int active, int dim)
{
    size_t E = (size_t)experts, A = (size_t)active, D = (size_t)dim, R = (size_t)rows;
    test_case("mixture step: rows %d experts %d active %d dim %d", rows, experts, active, dim);
    double *logits = random_array(seed, R * E, 2), *weights = zeros(R * E), *o = random_array(seed + 1, R * E * D, 1);
    double *part = zeros(R * A * D), *want = zeros(R * D); /* the device gets the active experts only */
    for (size_t r = 0; r < R; r++)
        memcpy(part + r * A * D, o + r * E * D, A * D * sizeof *part);
    mr_ref_mixture_step_weights(logits, weights, rows, experts, active, 1);
    mr_ref_mixture_step(weights, o, want, rows, experts, dim);
    mr_tensor scores = upload(logits, R * E), outs = upload(part, R * A * D), h = empty(R * D);
    must(mr_mixture_step(test_runtime(), &scores, &outs, &h, rows, experts, active, dim));
    expect_near("h", &h, want, R * D, 1e-5);
    release(&scores), release(&outs), release(&h);
    free(logits), free(weights), free(o), free(part), free(want);
}

static void test_dense_steps(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        uint64_t seed = 1000 * test_seed() + 10 * round;
        int experts = round == 3 ? 64 : random_int(seed, 1, 10);
        check_dense(seed, random_int(seed + 1, 1, 9), experts, random_int(seed + 2, 1, experts),
                    random_int(seed + 3, 1, round == 5 ? 2000 : 100));
    }
}

/* The experts that weigh 0 hold NaN, which nobody may read. */
static void check_topk(uint64_t seed, int rows, int experts, int active, int dim)
{
    size_t E = (size_t)experts, D = (size_t)dim, R = (size_t)rows;
    test_case("topk step: rows %d experts %d active %d dim %d", rows, experts, active, dim);
    double *logits = random_array(seed, R * E, 2), *weights = zeros(R * E), *o = random_array(seed + 1, R * E * D, 1);
    double *want = zeros(R * D);
    if (E > 1) /* a tie */
        logits[E - 1] = logits[0];
    mr_ref_mixture_step_weights(logits, weights, rows, experts, active, 0);
    mr_ref_mixture_step(weights, o, want, rows, experts, dim);
    for (size_t i = 0; i < R * E * D; i++)
        o[i] = weights[i / D] > 0 ? o[i] : NAN;
    mr_tensor scores = upload(logits, R * E), outs = upload(o, R * E * D), h = empty(R * D);
    must(mr_topk_step(test_runtime(), &scores, &outs, &h, rows, experts, active, dim));
    expect_near("h", &h, want, R * D, 1e-5);
    release(&scores), release(&outs), release(&h);
    free(logits), free(weights), free(o), free(want);
}

static void test_topk_steps(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        uint64_t seed = 2000 * test_seed() + 10 * round;
        int experts = round == 3 ? 64 : random_int(seed, 1, 10);
        check_topk(seed, random_int(seed + 1, 1, 9), experts, random_int(seed + 2, 1, experts),
                   random_int(seed + 3, 1, round == 5 ? 2000 : 100));
    }
}

static void test_ties_go_to_the_lower_index(void **state)
{
    (void)state;
    enum { E = 5 };
    double logits[E] = {1, 2, 1, 2, 1}, want[E] = {0}, each[E * E] = {0}; /* expert e gives 1 at place e */
    want[0] = exp(-1) / (2 + exp(-1));
    want[1] = want[3] = 1 / (2 + exp(-1));
    for (size_t e = 0; e < E; e++)
        each[e * E + e] = 1;
    mr_tensor in = upload(logits, E), o = upload(each, E * E), out = empty(E);
    must(mr_topk_step(test_runtime(), &in, &o, &out, 1, E, 3, E));
    expect_near("weights", &out, want, E, 1e-6);
    release(&in), release(&o), release(&out);
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    enum { R = 9, E = 6, D = 77 };
    double *logits = random_array(1, R * E, 2), *o = random_array(2, R * E * D, 1);
    mr_tensor scores = upload(logits, R * E), outs = upload(o, R * E * D), h = empty(R * D);
    must(mr_mixture_step(test_runtime(), &scores, &outs, &h, R, E, E, D));
    double *together = download(&h, R * D);
    for (size_t r = 0; r < R; r++) {
        mr_tensor own = upload(logits + r * E, E), its = upload(o + r * E * D, E * D), out = empty(D);
        must(mr_mixture_step(test_runtime(), &own, &its, &out, 1, E, E, D));
        double *alone = download(&out, D);
        assert_memory_equal(together + r * D, alone, D * sizeof *alone);
        free(alone);
        release(&own), release(&its), release(&out);
    }
    release(&scores), release(&outs), release(&h);
    free(logits), free(o), free(together);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(24);
    assert_int_equal(mr_mixture_step(rt, &a, &a, &a, 2, 4, 5, 2), MR_EINVAL);
    assert_int_equal(mr_mixture_step(rt, &a, &a, &a, 2, 4, 4, 4), MR_EINVAL); /* o has 32 */
    assert_int_equal(mr_topk_step(rt, &a, &a, &a, 1, 65, 1, 1), MR_EINVAL);
    assert_int_equal(mr_topk_step(rt, &a, &a, &a, 2, 4, 0, 2), MR_EINVAL);
    assert_int_equal(mr_topk_step(rt, &a, &a, NULL, 2, 4, 2, 2), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense_steps),
        cmocka_unit_test(test_topk_steps),
        cmocka_unit_test(test_ties_go_to_the_lower_index),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
