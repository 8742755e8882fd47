/* SPDX-License-Identifier: GPL-3.0-or-later
 * Norm, shift and mixing of decoding steps, step after step, against the references of the whole sequences. */
#include "slot_test.h"

#include "ops/norm_shift.h"
#include "ref/norm_shift.h"

enum { MOST = 6 };

struct problem {
    struct mr_norm_shift s;
    int time;
    size_t C, n; /* n: R*T*C */
    double *x, *weight, *bias, *maa[MOST], *previous;
};

static struct problem problem_of(struct mr_norm_shift s, int time, bool bias, uint64_t seed)
{
    struct problem p = {.s = s, .time = time, .C = (size_t)s.dim};
    test_case("norm_shift: rows %d time %d dim %d mixtures %d norm %d keeps %d rest %d bias %d seed %llu", s.rows, time,
              s.dim, s.count, (int)s.norm, s.keeps, s.rest, bias, (unsigned long long)seed);
    p.s.eps = s.norm == MR_NORM_RMS ? 1e-8f : 1e-5f;
    p.n = (size_t)s.rows * (size_t)time * p.C;
    p.x = random_array(seed, p.n, 2);
    p.weight = random_array(seed + 1, p.C, 1);
    p.bias = bias ? random_array(seed + 2, p.C, 1) : NULL;
    p.previous = random_array(seed + 3, (size_t)s.rows * p.C, 1);
    for (int k = 0; k < s.count; k++)
        p.maa[k] = random_uniform(seed + 4 + (uint64_t)k, p.C, 0, 1);
    return p;
}

static void problem_free(struct problem *p)
{
    free(p->x), free(p->weight), free(p->bias), free(p->previous);
    for (int k = 0; k < p->s.count; k++)
        free(p->maa[k]);
}

static int outputs(const struct problem *p)
{
    return p->s.count + (p->s.rest ? 2 : 0);
}

/* What out should be over all positions: [outputs][R,T,C]; previous moves on. */
static double *reference(struct problem *p)
{
    double *want = zeros((size_t)outputs(p) * p->n);
    struct mr_ref_norm_shift ref = {.batch = p->s.rows,
                                    .time = p->time,
                                    .dim = p->s.dim,
                                    .count = p->s.count,
                                    .norm = (int)p->s.norm,
                                    .keeps = p->s.keeps,
                                    .rest = p->s.rest,
                                    .eps = p->s.eps,
                                    .weight = p->weight,
                                    .bias = p->bias};
    mr_ref_norm_shift(&ref, p->x, (const double *const *)p->maa, p->previous, want);
    return want;
}

/* Steps of `count` rows from `row` on; got [outputs][R,T,C]. Returns their states. */
static double *run(const struct problem *p, int row, int count, uint64_t seed, double *got)
{
    struct mr_norm_shift s = p->s;
    struct slot_test slots = slot_test_of(seed, count, p->C, p->previous + (size_t)row * p->C);
    mr_tensor weight = upload(p->weight, p->C), bias = upload(p->bias, p->bias ? p->C : 1), maa[MOST];
    const mr_tensor *all[MOST];
    for (int k = 0; k < s.count; k++) {
        maa[k] = upload(p->maa[k], p->C);
        all[k] = &maa[k];
    }
    s.rows = count;
    s.slots = slots_in(&slots);
    s.weight = s.norm == MR_NORM_LAYER ? &weight : NULL;
    s.bias = p->bias ? &bias : NULL;
    for (int t = 0; t < p->time; t++) {
        size_t part = (size_t)count * p->C;
        mr_tensor x = upload_at(p->x, row, count, p->time, t, p->C), out = empty((size_t)outputs(p) * part);
        must(mr_norm_shift_step(test_runtime(), &s, &x, all, &out));
        double *rows = download(&out, (size_t)outputs(p) * part);
        for (int k = 0; k < outputs(p); k++)
            rows_to(got + (size_t)k * p->n, rows + (size_t)k * part, row, count, p->time, t, p->C);
        free(rows);
        release(&x), release(&out);
    }
    double *states = slot_states(&slots);
    for (int k = 0; k < s.count; k++)
        release(&maa[k]);
    release(&weight), release(&bias);
    slot_test_free(&slots);
    return states;
}

static void check(struct mr_norm_shift s, int time, bool bias, uint64_t seed)
{
    struct problem p = problem_of(s, time, bias, seed);
    size_t all = (size_t)outputs(&p) * p.n;
    double *got = zeros(all), *states = run(&p, 0, s.rows, seed, got), *want = reference(&p);
    expect_near_host("out", got, want, all, 1e-5);
    expect_near_host("state", states, p.previous, (size_t)s.rows * p.C, 1e-5);
    free(want), free(got), free(states);
    problem_free(&p);
}

static void test_steps_of_all_norms_and_counts(void **state)
{
    (void)state;
    for (int norm = 0; norm < 3; norm++)
        for (int count = 1; count <= MOST; count += norm == 1 ? 1 : 3) {
            uint64_t seed = 100 * test_seed() + (uint64_t)(10 * norm + count);
            struct mr_norm_shift s = {.rows = random_int(seed, 1, 5),
                                      .dim = random_int(seed + 1, 1, 300),
                                      .count = count,
                                      .keeps = count % 2,
                                      .rest = count == 1 || count == 4,
                                      .norm = (enum mr_norm_kind)norm};
            check(s, random_int(seed + 2, 1, 6), count % 3 > 0, seed);
        }
}

static void test_steps_of_all_sizes(void **state)
{
    (void)state;
    static const int dims[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 100, 768, 5000};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        check((struct mr_norm_shift){.rows = 1 + (int)i % 4, .dim = dims[i], .count = 2, .norm = MR_NORM_LAYER}, 3,
              i % 2, 300 * test_seed() + i);
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    static const int dims[] = {45, 5000};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        struct mr_norm_shift s = {.rows = 7, .dim = dims[i], .count = 2, .norm = MR_NORM_LAYER, .rest = true};
        struct problem p = problem_of(s, 3, true, 500 * test_seed() + i);
        size_t all = (size_t)outputs(&p) * p.n;
        double *together = zeros(all), *alone = zeros(all);
        free(run(&p, 0, s.rows, 1, together));
        for (int row = 0; row < s.rows; row++)
            free(run(&p, row, 1, 2 + (uint64_t)row, alone));
        assert_memory_equal(together, alone, all * sizeof *alone);
        free(together), free(alone);
        problem_free(&p);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(24), kept = zeroed(24), out = empty(24), slots = upload_i32((const int32_t[]){0, 1}, 2);
    const mr_tensor *maa[] = {&a, &a};
    struct mr_norm_shift good = {.rows = 2, .dim = 6, .count = 2, .slots = {&kept, &slots, 12}}, s = good;
    must(mr_norm_shift_step(rt, &good, &a, maa, &out));
    s.slots.stride = 5;
    assert_int_equal(mr_norm_shift_step(rt, &s, &a, maa, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "apart"));
    s = good, s.rows = 3; /* of slots there are 2 */
    assert_int_equal(mr_norm_shift_step(rt, &s, &a, maa, &a), MR_EINVAL);
    s = good, s.rest = true; /* out has 24 */
    assert_int_equal(mr_norm_shift_step(rt, &s, &a, maa, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "out"));
    s = good, s.count = 7;
    assert_int_equal(mr_norm_shift_step(rt, &s, &a, maa, &a), MR_EINVAL);
    s = good, s.norm = MR_NORM_LAYER;
    assert_int_equal(mr_norm_shift_step(rt, &s, &a, maa, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "weight"));
    release(&a), release(&kept), release(&out), release(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_all_norms_and_counts),
        cmocka_unit_test(test_steps_of_all_sizes),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
