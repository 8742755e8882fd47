/* SPDX-License-Identifier: GPL-3.0-or-later
 * Attention of decoding steps over rings in slots, step after step, against the reference of the whole sequences. */
#include "slot_test.h"

#include "ops/attention_step.h"
#include "ref/attention_step.h"

enum { Q, K, V, GATE, INPUTS };

/* Each text begins at a position of its own: the first `begun` of its positions are in the rings before. */
struct problem {
    struct mr_attention_step s;
    int time;
    size_t C, n, ring; /* H*D, R*T*C, W*C */
    double *in[INPUTS];
    int32_t *begun; /* [R] */
};

static struct problem problem_of(struct mr_attention_step s, int time, bool gate, uint64_t seed)
{
    struct problem p = {.s = s, .time = time, .C = (size_t)(s.heads * s.width)};
    int C = (int)p.C;
    test_case("attention step: rows %d time %d heads %d width %d window %d gate %d seed %llu", s.rows, time, s.heads,
              s.width, s.window, gate, (unsigned long long)seed);
    p.s.scale = (float)(1 / sqrt(s.width));
    p.s.stride = 4 * C + 7;
    p.s.q = 1, p.s.k = C + 2, p.s.v = 2 * C + 4, p.s.gate = gate ? 3 * C + 7 : -1;
    p.n = (size_t)(s.rows * time) * p.C;
    p.ring = (size_t)s.window * p.C;
    for (int i = 0; i < INPUTS; i++)
        p.in[i] = random_array(seed * 10 + (uint64_t)i, p.n, i == Q ? 2 : 1);
    p.begun = random_integers(0, (size_t)s.rows, 0, 0);
    for (int row = 0; row < s.rows; row++)
        p.begun[row] = random_int(seed * 7 + (uint64_t)row, 0, time / 2);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]);
    free(p->begun);
}

static double *reference(const struct problem *p)
{
    double *y = zeros(p->n);
    struct mr_ref_attention_step ref = {.batch = p->s.rows,
                                        .time = p->time,
                                        .heads = p->s.heads,
                                        .width = p->s.width,
                                        .window = p->s.window,
                                        .scale = p->s.scale,
                                        .q = p->in[Q],
                                        .k = p->in[K],
                                        .v = p->in[V],
                                        .gate = p->s.gate >= 0 ? p->in[GATE] : NULL};
    mr_ref_attention_step(&ref, y);
    return y;
}

/* Position t of row `row` in the sequences [R,T,C]. */
static double *position(const struct problem *p, double *a, int row, int t)
{
    return a + (size_t)(row * p->time + t) * p->C;
}

/* The rings [count,W*C] of what row `row` and the next have begun with. */
static double *rings_of(const struct problem *p, int which, int row, int count)
{
    double *rings = zeros((size_t)count * p->ring);
    for (int r = 0; r < count; r++)
        for (int t = 0; t < p->begun[row + r]; t++)
            memcpy(rings + (size_t)r * p->ring + (size_t)(t % p->s.window) * p->C,
                   position(p, p->in[which], row + r, t), p->C * sizeof *rings);
    return rings;
}

/* Rows of s.stride floats, each at its own position; between the columns there is NaN, which nobody may read. */
static mr_tensor qkv_of(const struct problem *p, int row, int count, const int *at)
{
    const int columns[] = {p->s.q, p->s.k, p->s.v, p->s.gate};
    size_t stride = (size_t)p->s.stride, all = (size_t)count * stride;
    double *x = zeros(all);
    for (size_t i = 0; i < all; i++)
        x[i] = NAN;
    for (int r = 0; r < count; r++)
        for (int i = 0; i < INPUTS; i++)
            if (columns[i] >= 0)
                memcpy(x + (size_t)r * stride + columns[i], position(p, p->in[i], row + r, at[r]), p->C * sizeof *x);
    mr_tensor t = upload(x, all);
    free(x);
    return t;
}

/* Steps of `count` rows from `row` on, as long as all of them last; got [R,T,C] gets what was computed. */
static void run(const struct problem *p, int row, int count, uint64_t seed, double *got)
{
    struct mr_attention_step s = p->s;
    double *k = rings_of(p, K, row, count), *v = rings_of(p, V, row, count);
    struct slot_test keys = slot_test_of(seed, count, p->ring, k), values = slot_test_of(seed, count, p->ring, v);
    int32_t *at = random_integers(0, (size_t)count, 0, 0);
    s.rows = count;
    s.keys = slots_in(&keys);
    s.values = &values.state;
    memcpy(at, p->begun + row, (size_t)count * sizeof *at);
    for (bool going = true; going;) {
        mr_tensor positions = upload_i32(at, (size_t)count), qkv = qkv_of(p, row, count, at);
        mr_tensor y = empty((size_t)count * p->C);
        s.positions = &positions;
        must(mr_attention_step(test_runtime(), &s, &qkv, &y));
        double *rows = download(&y, (size_t)count * p->C);
        for (int r = 0; r < count; r++) {
            memcpy(position(p, got, row + r, at[r]), rows + (size_t)r * p->C, p->C * sizeof *got);
            going = ++at[r] < p->time && going;
        }
        free(rows);
        release(&positions), release(&qkv), release(&y);
    }
    free(slot_states(&keys)), free(slot_states(&values)); /* nothing else was touched */
    slot_test_free(&keys), slot_test_free(&values);
    free(at), free(k), free(v);
}

/* What was not computed (12345) becomes what it should be; how much that is. */
static size_t unknown_as(double *got, const double *want, size_t n)
{
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++)
        if (got[i] == 12345) {
            got[i] = want[i];
            unknown++;
        }
    return unknown;
}

static double *nothing(size_t n)
{
    double *a = zeros(n);
    for (size_t i = 0; i < n; i++)
        a[i] = 12345;
    return a;
}

static void check(struct mr_attention_step s, int time, bool gate, uint64_t seed)
{
    struct problem p = problem_of(s, time, gate, seed);
    double *got = nothing(p.n), *want = reference(&p);
    run(&p, 0, s.rows, seed, got);
    assert_true(unknown_as(got, want, p.n) < p.n);
    expect_near_host("y", got, want, p.n, 1e-5);
    free(got), free(want);
    problem_free(&p);
}

static void test_steps_at_all_widths(void **state)
{
    (void)state;
    static const int widths[] = {1, 3, 8, 15, 16, 33, 64, 100, 192};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        uint64_t seed = 100 * test_seed() + i;
        check((struct mr_attention_step){.rows = random_int(seed, 1, 4),
                                         .heads = random_int(seed + 1, 1, 4),
                                         .width = widths[i],
                                         .window = random_int(seed + 2, 1, 20)},
              random_int(seed + 3, 1, 12), i % 2, seed);
    }
}

static void test_windows_of_all_lengths(void **state)
{
    (void)state;
    static const int windows[] = {1, 2, 15, 16, 17, 63, 64, 65, 128, 200};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        check((struct mr_attention_step){.rows = 3, .heads = 2, .width = 8, .window = windows[i]}, 230, i % 2,
              200 * test_seed() + i);
}

static void test_large_scores_do_not_overflow(void **state)
{
    (void)state;
    struct mr_attention_step s = {.rows = 2, .heads = 2, .width = 8, .window = 150};
    struct problem p = problem_of(s, 200, false, 250 * test_seed());
    for (size_t i = 0; i < p.n; i++)
        p.in[Q][i] *= 64;
    double *got = nothing(p.n), *want = reference(&p);
    run(&p, 0, s.rows, 1, got);
    assert_true(unknown_as(got, want, p.n) < p.n);
    expect_near_host("y", got, want, p.n, 1e-4); /* scores are rounded in proportion */
    free(got), free(want);
    problem_free(&p);
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    struct mr_attention_step s = {.rows = 6, .heads = 3, .width = 17, .window = 70};
    struct problem p = problem_of(s, 90, true, 300 * test_seed());
    double *together = nothing(p.n), *alone = nothing(p.n);
    run(&p, 0, s.rows, 1, together);
    for (int row = 0; row < s.rows; row++)
        run(&p, row, 1, 2 + (uint64_t)row, alone);
    for (size_t i = 0; i < p.n; i++) /* alone they go on for longer */
        if (together[i] == 12345)
            alone[i] = 12345;
    assert_memory_equal(together, alone, p.n * sizeof *alone);
    free(together), free(alone);
    problem_free(&p);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(64), two = upload_i32((const int32_t[]){0, 1}, 2), one = upload_i32((const int32_t[]){0}, 1);
    struct mr_attention_step good = {.rows = 2,
                                     .heads = 2,
                                     .width = 4,
                                     .window = 4,
                                     .scale = 1,
                                     .stride = 32,
                                     .k = 8,
                                     .v = 16,
                                     .gate = 24,
                                     .keys = {&a, &two, 32},
                                     .values = &a,
                                     .positions = &two},
                             s = good;
    s.window = 5;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    s = good, s.gate = 25;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    s = good, s.positions = &one;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "positions"));
    s = good, s.width = 193;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    s = good, s.rows = 3;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    s = good, s.values = NULL;
    assert_int_equal(mr_attention_step(rt, &s, &a, &a), MR_EINVAL);
    release(&a), release(&two), release(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_at_all_widths),          cmocka_unit_test(test_windows_of_all_lengths),
        cmocka_unit_test(test_large_scores_do_not_overflow), cmocka_unit_test(test_a_row_alone_has_the_same_bits),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
