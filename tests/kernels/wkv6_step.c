/* SPDX-License-Identifier: GPL-3.0-or-later
 * The decoding step of x051a, RWKV-5 and 6, step after step, against the references of the whole sequences. */
#include "slot_test.h"

#include "ops/wkv6_step.h"
#include "ref/wkv6_step.h"

enum { IN_R, IN_K, IN_V, IN_GATE, IN_X, INPUTS };

struct problem {
    struct mr_wkv6_step s;
    int time;
    bool gate;
    size_t C, n, numbers, size; /* H*N, R*T*C, of decay and u, of a state */
    double *in[INPUTS], *decay, *u, *weight, *bias, *state;
};

static struct problem problem_of(struct mr_wkv6_step s, int time, bool gate, uint64_t seed)
{
    struct problem p = {.s = s, .time = time, .gate = gate, .C = (size_t)(s.heads * s.width)};
    test_case("wkv6 step: rows %d time %d heads %d width %d decays %d gate %d seed %llu", s.rows, time, s.heads,
              s.width, (int)s.decays, gate, (unsigned long long)seed);
    p.s.eps = 64e-5f;
    p.n = (size_t)s.rows * (size_t)time * p.C;
    p.numbers = s.decays < MR_DECAY_CHANNEL ? (size_t)s.heads : p.C;
    p.size = p.C * (size_t)s.width;
    for (int i = 0; i < INPUTS; i++)
        p.in[i] = random_array(seed * 10 + (uint64_t)i, p.n, 1);
    p.decay = random_uniform(seed + 1, p.numbers, -6, 1);
    p.u = random_array(seed + 2, p.numbers, 0.5);
    p.weight = random_array(seed + 3, p.C, 1);
    p.bias = random_array(seed + 4, p.C, 1);
    p.state = random_array(seed + 5, (size_t)s.rows * p.size, 1);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]);
    free(p->decay), free(p->u), free(p->weight), free(p->bias), free(p->state);
}

/* The states of the problem move on. */
static double *reference(struct problem *p)
{
    const struct mr_wkv6_step *s = &p->s;
    double *y = zeros(p->n);
    struct mr_ref_wkv6_step ref = {.batch = s->rows,
                                   .time = p->time,
                                   .heads = s->heads,
                                   .width = s->width,
                                   .decays = (int)s->decays,
                                   .eps = s->eps,
                                   .r = p->in[IN_R],
                                   .k = p->in[IN_K],
                                   .v = p->in[IN_V],
                                   .gate = p->gate ? p->in[IN_GATE] : NULL,
                                   .decay = p->decay,
                                   .u = p->u,
                                   .x = p->in[IN_X],
                                   .weight = p->weight,
                                   .bias = p->bias};
    mr_ref_wkv6_step(&ref, p->state, y);
    return y;
}

/* Steps of `count` rows from `row` on; got [R,T,C]. Returns their states. */
static double *run(const struct problem *p, int row, int count, uint64_t seed, double *got)
{
    struct mr_wkv6_step s = p->s;
    struct slot_test slots = slot_test_of(seed, count, p->size, p->state + (size_t)row * p->size);
    mr_tensor decay = upload(p->decay, p->numbers), u = upload(p->u, p->numbers), weight = upload(p->weight, p->C);
    mr_tensor bias = upload(p->bias, p->C), in[INPUTS];
    s.rows = count;
    s.slots = slots_in(&slots);
    s.decay = &decay, s.u = &u, s.weight = &weight, s.bias = &bias;
    s.r = &in[IN_R], s.k = &in[IN_K], s.v = &in[IN_V];
    s.gate = p->gate ? &in[IN_GATE] : NULL;
    s.x = s.decays == MR_DECAY_ROW ? &in[IN_X] : NULL;
    for (int t = 0; t < p->time; t++) {
        for (int i = 0; i < INPUTS; i++)
            in[i] = upload_at(p->in[i], row, count, p->time, t, p->C);
        mr_tensor y = empty((size_t)count * p->C);
        must(mr_wkv6_step(test_runtime(), &s, &y));
        double *rows = download(&y, (size_t)count * p->C);
        rows_to(got, rows, row, count, p->time, t, p->C);
        free(rows);
        for (int i = 0; i < INPUTS; i++)
            release(&in[i]);
        release(&y);
    }
    double *states = slot_states(&slots);
    release(&decay), release(&u), release(&weight), release(&bias);
    slot_test_free(&slots);
    return states;
}

static void check(struct mr_wkv6_step s, int time, bool gate, uint64_t seed)
{
    struct problem p = problem_of(s, time, gate, seed);
    double *got = zeros(p.n), *states = run(&p, 0, s.rows, seed, got), *want = reference(&p);
    expect_near_host("y", got, want, p.n, 2e-5);
    expect_near_host("state", states, p.state, (size_t)s.rows * p.size, 1e-5);
    free(got), free(states), free(want);
    problem_free(&p);
}

/* MICRORWKV_TEST_EVERY_WIDTH: all from 1 to 200, each a program to compile. */
static void test_steps_at_all_widths(void **state)
{
    (void)state;
    static const int some[] = {1, 3, 8, 15, 16, 33, 64, 75, 96, 127, 129, 144, 320};
    bool every = getenv("MICRORWKV_TEST_EVERY_WIDTH") != NULL;
    int count = every ? 200 : (int)(sizeof some / sizeof *some);
    for (int i = 0; i < count; i++) {
        uint64_t seed = 100 * test_seed() + (uint64_t)i;
        check((struct mr_wkv6_step){.rows = random_int(seed, 1, 4),
                                    .heads = random_int(seed + 1, 1, 4),
                                    .width = every ? i + 1 : some[i],
                                    .decays = (enum mr_decays)(i % 4)},
              random_int(seed + 2, 1, 5), i % 3 > 0, seed);
    }
}

static void test_steps_of_all_decays(void **state)
{
    (void)state;
    for (int decays = 0; decays < 4; decays++)
        for (int gate = 0; gate < 2; gate++) {
            check((struct mr_wkv6_step){.rows = 3, .heads = 5, .width = 16, .decays = (enum mr_decays)decays}, 20, gate,
                  200 * test_seed() + (uint64_t)decays);
            check((struct mr_wkv6_step){.rows = 2, .heads = 3, .width = 17, .decays = (enum mr_decays)decays}, 20, gate,
                  210 * test_seed() + (uint64_t)decays);
        }
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    for (int decays = 0; decays < 4; decays++) {
        struct mr_wkv6_step s = {.rows = 9, .heads = 5, .width = 17, .decays = (enum mr_decays)decays};
        struct problem p = problem_of(s, 3, true, 300 * test_seed() + (uint64_t)decays);
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

static void test_long_memory_does_not_drift(void **state)
{
    (void)state;
    struct mr_wkv6_step s = {.rows = 1, .heads = 4, .width = 4, .decays = MR_DECAY_HEAD};
    struct problem p = problem_of(s, 3000, false, 400 * test_seed());
    const double decays[] = {-9.5, -8, -6, -4};
    memcpy(p.decay, decays, sizeof decays);
    memset(p.state, 0, p.size * sizeof *p.state);
    double *got = zeros(p.n), *states = run(&p, 0, 1, 1, got);
    free(reference(&p));
    expect_near_host("state", states, p.state, p.size, 2e-6);
    free(got), free(states);
    problem_free(&p);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(64), slots = upload_i32((const int32_t[]){0, 1}, 2);
    struct mr_wkv6_step good = {.rows = 2,
                                .heads = 2,
                                .width = 4,
                                .decays = MR_DECAY_CHANNEL,
                                .slots = {&a, &slots, 32},
                                .r = &a,
                                .k = &a,
                                .v = &a,
                                .decay = &a,
                                .u = &a,
                                .weight = &a,
                                .bias = &a},
                        s = good;
    s.slots.stride = 33; /* two slots no longer fit */
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "state"));
    s = good, s.width = 321;
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    s = good, s.decays = MR_DECAY_ROW;
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "missing"));
    s = good, s.x = &a;
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    s = good, s.rows = 0;
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    s = good, s.bias = NULL;
    assert_int_equal(mr_wkv6_step(rt, &s, &a), MR_EINVAL);
    release(&a), release(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_at_all_widths),           cmocka_unit_test(test_steps_of_all_decays),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits), cmocka_unit_test(test_long_memory_does_not_drift),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
