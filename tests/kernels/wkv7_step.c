/* SPDX-License-Identifier: GPL-3.0-or-later
 * The decoding step of RWKV-7's time mix, step after step, against the references of the whole sequences. */
#include "slot_test.h"

#include "ops/wkv7_step.h"
#include "ref/wkv7_step.h"

enum { IN_R, IN_K, IN_V, IN_W, IN_A, IN_G, IN_FIRST, IN_SHARE, INPUTS };
enum { K_K, K_A, R_K, WEIGHT, BIAS, VECTORS };

struct problem {
    struct mr_wkv7_step s;
    int time;
    bool mixes; /* v with v_first */
    size_t C, n, size;
    double *in[INPUTS], *vector[VECTORS], *state;
};

static struct problem problem_of(struct mr_wkv7_step s, int time, bool mixes, uint64_t seed)
{
    struct problem p = {.s = s, .time = time, .mixes = mixes, .C = (size_t)(s.heads * s.width)};
    test_case("wkv7 step: rows %d time %d heads %d width %d mixes %d seed %llu", s.rows, time, s.heads, s.width, mixes,
              (unsigned long long)seed);
    p.s.eps = 64e-5f;
    p.n = (size_t)s.rows * (size_t)time * p.C;
    p.size = p.C * (size_t)s.width;
    for (int i = 0; i < INPUTS; i++)
        p.in[i] = random_array(seed * 10 + (uint64_t)i, p.n, 1);
    for (int i = 0; i < VECTORS; i++)
        p.vector[i] = random_array(seed * 20 + (uint64_t)i, p.C, 1);
    p.state = random_array(seed + 5, (size_t)s.rows * p.size, 1);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]);
    for (int i = 0; i < VECTORS; i++)
        free(p->vector[i]);
    free(p->state);
}

/* The states of the problem move on. */
static double *reference(struct problem *p)
{
    double *y = zeros(p->n), **in = p->in, **vector = p->vector;
    struct mr_ref_wkv7_step ref = {.batch = p->s.rows,
                                   .time = p->time,
                                   .heads = p->s.heads,
                                   .width = p->s.width,
                                   .eps = p->s.eps,
                                   .r = in[IN_R],
                                   .k = in[IN_K],
                                   .v = in[IN_V],
                                   .w = in[IN_W],
                                   .a = in[IN_A],
                                   .g = in[IN_G],
                                   .v_first = p->mixes ? in[IN_FIRST] : NULL,
                                   .share = in[IN_SHARE],
                                   .k_k = vector[K_K],
                                   .k_a = vector[K_A],
                                   .r_k = vector[R_K],
                                   .weight = vector[WEIGHT],
                                   .bias = vector[BIAS]};
    mr_ref_wkv7_step(&ref, p->state, y);
    return y;
}

/* Steps of `count` rows from `row` on; got [R,T,C]. Returns their states. */
static double *run(const struct problem *p, int row, int count, uint64_t seed, double *got)
{
    struct mr_wkv7_step s = p->s;
    struct slot_test slots = slot_test_of(seed, count, p->size, p->state + (size_t)row * p->size);
    mr_tensor in[INPUTS], vector[VECTORS];
    for (int i = 0; i < VECTORS; i++)
        vector[i] = upload(p->vector[i], p->C);
    s.rows = count;
    s.slots = slots_in(&slots);
    s.r = &in[IN_R], s.k = &in[IN_K], s.v = &in[IN_V], s.w = &in[IN_W], s.a = &in[IN_A], s.g = &in[IN_G];
    s.v_first = p->mixes ? &in[IN_FIRST] : NULL, s.share = p->mixes ? &in[IN_SHARE] : NULL;
    s.k_k = &vector[K_K], s.k_a = &vector[K_A], s.r_k = &vector[R_K];
    s.weight = &vector[WEIGHT], s.bias = &vector[BIAS];
    for (int t = 0; t < p->time; t++) {
        for (int i = 0; i < INPUTS; i++)
            in[i] = upload_at(p->in[i], row, count, p->time, t, p->C);
        mr_tensor y = empty((size_t)count * p->C);
        must(mr_wkv7_step(test_runtime(), &s, &y));
        double *rows = download(&y, (size_t)count * p->C);
        rows_to(got, rows, row, count, p->time, t, p->C);
        free(rows);
        for (int i = 0; i < INPUTS; i++)
            release(&in[i]);
        release(&y);
    }
    double *states = slot_states(&slots);
    for (int i = 0; i < VECTORS; i++)
        release(&vector[i]);
    slot_test_free(&slots);
    return states;
}

static void check(struct mr_wkv7_step s, int time, bool mixes, uint64_t seed)
{
    struct problem p = problem_of(s, time, mixes, seed);
    double *got = zeros(p.n), *states = run(&p, 0, s.rows, seed, got), *want = reference(&p);
    expect_near_host("y", got, want, p.n, 2e-5);
    expect_near_host("state", states, p.state, (size_t)s.rows * p.size, 2e-5);
    free(got), free(states), free(want);
    problem_free(&p);
}

/* MICRORWKV_TEST_EVERY_WIDTH: all of them, each a program to compile. */
static void test_steps_at_all_widths(void **state)
{
    (void)state;
    static const int some[] = {1, 3, 8, 15, 33, 75, 100, 127, 128};
    bool every = getenv("MICRORWKV_TEST_EVERY_WIDTH") != NULL;
    int count = every ? MR_WKV7_STEP_WIDTH : (int)(sizeof some / sizeof *some);
    for (int i = 0; i < count; i++) {
        uint64_t seed = 100 * test_seed() + (uint64_t)i;
        check((struct mr_wkv7_step){.rows = random_int(seed, 1, 4),
                                    .heads = random_int(seed + 1, 1, 4),
                                    .width = every ? i + 1 : some[i]},
              random_int(seed + 2, 1, 5), i % 2, seed);
    }
}

static void test_many_steps(void **state)
{
    (void)state;
    for (int mixes = 0; mixes < 2; mixes++) {
        check((struct mr_wkv7_step){.rows = 3, .heads = 5, .width = 16}, 40, mixes, 200 * test_seed());
        check((struct mr_wkv7_step){.rows = 2, .heads = 3, .width = 17}, 40, mixes, 201 * test_seed());
    }
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    static const int widths[] = {16, 17, 64};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct mr_wkv7_step s = {.rows = 9, .heads = 5, .width = widths[i]};
        struct problem p = problem_of(s, 3, true, 300 * test_seed() + i);
        double *together = zeros(p.n), *alone = zeros(p.n), *states = run(&p, 0, s.rows, 1, together);
        for (int row = 0; row < s.rows; row++) {
            double *own = run(&p, row, 1, 2 + (uint64_t)row, alone);
            assert_memory_equal(own, states + (size_t)row * p.size, p.size * sizeof *own);
            free(own);
        }
        assert_memory_equal(together, alone, p.n * sizeof *alone);
        free(together), free(alone), free(states);
        problem_free(&p);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(64), slots = upload_i32((const int32_t[]){0, 1}, 2);
    struct mr_wkv7_step good = {.rows = 2,
                                .heads = 2,
                                .width = 4,
                                .slots = {&a, &slots, 32},
                                .r = &a,
                                .k = &a,
                                .v = &a,
                                .w = &a,
                                .a = &a,
                                .g = &a,
                                .k_k = &a,
                                .k_a = &a,
                                .r_k = &a,
                                .weight = &a,
                                .bias = &a},
                        s = good;
    s.slots.stride = 33; /* two slots no longer fit */
    assert_int_equal(mr_wkv7_step(rt, &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "state"));
    s = good, s.width = 129;
    assert_int_equal(mr_wkv7_step(rt, &s, &a), MR_EINVAL);
    s = good, s.v_first = &a; /* without its share */
    assert_int_equal(mr_wkv7_step(rt, &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "share"));
    s = good, s.heads = 3;
    assert_int_equal(mr_wkv7_step(rt, &s, &a), MR_EINVAL);
    s = good, s.g = NULL;
    assert_int_equal(mr_wkv7_step(rt, &s, &a), MR_EINVAL);
    release(&a), release(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_at_all_widths),
        cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
