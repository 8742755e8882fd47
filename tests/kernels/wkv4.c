/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-4 against the reference, in one call and in several. */
#include "slot_test.h"

#include "ops/wkv4.h"
#include "ref/channel_mix.h"
#include "ref/wkv4.h"

struct problem {
    struct mr_wkv4 s;
    size_t n, dim, state_count;
    double *k, *v, *decay, *first, *state, *y;
};

/* Keys up to `scale`; a state that has read something, or none. */
static struct problem problem_of(struct mr_wkv4 s, double scale, bool begun, uint64_t seed)
{
    struct problem p = {.s = s, .dim = (size_t)s.dim};
    test_case("wkv4: batch %d time %d dim %d keys to %g seed %llu", s.batch, s.time, s.dim, scale,
              (unsigned long long)seed);
    p.n = (size_t)s.batch * (size_t)s.time * p.dim;
    p.state_count = 3 * (size_t)s.batch * p.dim;
    p.k = random_uniform(seed, p.n, -scale, scale);
    p.v = random_array(seed + 1, p.n, 1);
    p.decay = random_uniform(seed + 2, p.dim, -6, 2);
    p.first = random_array(seed + 3, p.dim, 1);
    p.state = begun ? random_uniform(seed + 4, p.state_count, 1, 4) : zeros(p.state_count);
    p.y = zeros(p.n);
    return p;
}

static void problem_free(struct problem *p)
{
    free(p->k), free(p->v), free(p->decay), free(p->first), free(p->state), free(p->y);
}

/* Runs positions from..from + time - 1 of a problem of one text. */
static void run_part(const struct problem *p, int from, int time, const mr_tensor *state, double *y)
{
    struct mr_wkv4 s = p->s;
    s.time = time;
    size_t at = (size_t)from * p->dim, n = (size_t)s.batch * (size_t)time * p->dim;
    mr_tensor k = upload(p->k + at, n), v = upload(p->v + at, n), out = empty(n);
    mr_tensor decay = upload(p->decay, p->dim), first = upload(p->first, p->dim);
    must(mr_wkv4_forward(test_runtime(), &s, &k, &v, &decay, &first, state, &out));
    double *got = download(&out, n);
    memcpy(y + at, got, n * sizeof *y);
    free(got);
    release(&k), release(&v), release(&out), release(&decay), release(&first);
}

static void check(struct mr_wkv4 s, double scale, bool begun, uint64_t seed)
{
    struct problem p = problem_of(s, scale, begun, seed);
    mr_tensor state = upload(p.state, p.state_count);
    double *y = zeros(p.n);
    run_part(&p, 0, s.time, &state, y);
    mr_ref_wkv4_forward(p.k, p.v, p.decay, p.first, p.state, p.y, s.batch, s.time, s.dim);
    mr_tensor got = upload(y, p.n);
    double tolerance = 1e-5 + scale * 1e-6; /* exponents are rounded in proportion to the keys */
    expect_near("y", &got, p.y, p.n, tolerance);
    expect_near("state", &state, p.state, p.state_count, tolerance);
    release(&state), release(&got);
    free(y);
    problem_free(&p);
}

static void test_forward_at_all_sizes(void **state)
{
    (void)state;
    static const int dims[] = {1, 3, 15, 16, 17, 64, 100, 513};
    size_t count = sizeof dims / sizeof *dims;
    for (size_t i = 0; i < count + WIDTHS; i++) {
        uint64_t seed = 100 * test_seed() + i;
        int longest = i < count ? 40 : 3, dim = size_of_round(dims, count, i);
        check((struct mr_wkv4){random_int(seed, 1, 4), random_int(seed + 1, 1, longest), dim}, 2, i % 2, seed);
    }
}

static void test_large_keys_do_not_overflow(void **state)
{
    (void)state;
    check((struct mr_wkv4){2, 50, 37}, 300, false, 200 * test_seed());
    check((struct mr_wkv4){1, 50, 16}, 60, true, 201 * test_seed());
}

static void check_split(const int *sizes)
{
    struct problem p = problem_of((struct mr_wkv4){1, 61, 45}, 3, false, 40 * test_seed());
    mr_tensor whole_state = upload(p.state, p.state_count), state = upload(p.state, p.state_count);
    double *whole = zeros(p.n), *parts = zeros(p.n);
    run_part(&p, 0, p.s.time, &whole_state, whole);
    for (int at = 0, size = *sizes; at < p.s.time; at += size) {
        size = *sizes < p.s.time - at ? *sizes : p.s.time - at;
        run_part(&p, at, size, &state, parts);
        sizes += sizes[1] > 0;
    }
    double *a = download(&whole_state, p.state_count), *b = download(&state, p.state_count);
    assert_memory_equal(whole, parts, p.n * sizeof *whole);
    assert_memory_equal(a, b, p.state_count * sizeof *a);
    release(&whole_state), release(&state);
    free(whole), free(parts), free(a), free(b);
    problem_free(&p);
}

static void test_chunks_and_steps_give_the_same_bits(void **state)
{
    (void)state;
    check_split((const int[]){16, 0});
    check_split((const int[]){7, 1, 30, 2, 0});
    check_split((const int[]){1, 0});
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

struct gradients {
    double *dy, *dk, *dv, *ddecay, *dfirst, *dstate;
};

/* The reference's, with ddecay and dfirst from 0.5 on. */
static struct gradients gradients_of(const struct problem *p, uint64_t seed)
{
    struct gradients g = {.dy = random_array(seed, p->n, 1),
                          .dk = zeros(p->n),
                          .dv = zeros(p->n),
                          .ddecay = random_uniform(seed, p->dim, 0.5, 0.5),
                          .dfirst = random_uniform(seed, p->dim, 0.5, 0.5),
                          .dstate = zeros(p->state_count / 3 * 2)};
    const struct mr_ref_wkv4 x = {p->s.batch, p->s.time, p->s.dim, p->k, p->v, p->decay, p->first, p->state};
    const struct mr_ref_wkv4_gradients to = {g.dy, g.dk, g.dv, g.ddecay, g.dfirst, g.dstate};
    mr_ref_wkv4_backward(&x, &to);
    return g;
}

static void gradients_free(struct gradients *g)
{
    free(g->dy), free(g->dk), free(g->dv), free(g->ddecay), free(g->dfirst), free(g->dstate);
}

static void check_backward(struct mr_wkv4 s, double scale, bool begun, uint64_t seed)
{
    struct problem p = problem_of(s, scale, begun, seed);
    struct gradients want = gradients_of(&p, seed + 50);
    double *half = random_uniform(seed, p.dim, 0.5, 0.5), tolerance = 5e-6 + scale * 1e-6;
    mr_tensor k = upload(p.k, p.n), v = upload(p.v, p.n), decay = upload(p.decay, p.dim), dy = upload(want.dy, p.n);
    mr_tensor first = upload(p.first, p.dim), start = upload(p.state, p.state_count);
    mr_tensor state = upload(p.state, p.state_count), y = empty(p.n), dk = empty(p.n), dv = empty(p.n);
    mr_tensor ddecay = upload(half, p.dim), dfirst = upload(half, p.dim), dstate = empty(p.state_count / 3 * 2);
    mr_tensor scratch = empty(mr_wkv4_backward_scratch(&s));
    must(mr_wkv4_forward(test_runtime(), &s, &k, &v, &decay, &first, &state, &y));
    const struct mr_wkv4_inputs x = {&k, &v, &decay, &first, &start, &y};
    const struct mr_wkv4_gradients g = {&dy, &dk, &dv, &ddecay, &dfirst, &dstate};
    must(mr_wkv4_backward(test_runtime(), &s, &x, &g, &scratch));
    expect_near("dk", &dk, want.dk, p.n, tolerance);
    expect_near("dv", &dv, want.dv, p.n, tolerance);
    expect_near("ddecay", &ddecay, want.ddecay, p.dim, tolerance);
    expect_near("dfirst", &dfirst, want.dfirst, p.dim, tolerance);
    if (begun)
        expect_near("dstate", &dstate, want.dstate, p.state_count / 3 * 2, tolerance);
    mr_tensor *all[] = {&k, &v, &decay, &dy, &first, &start, &state, &y, &dk, &dv, &ddecay, &dfirst, &dstate, &scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        release(all[i]);
    free(half);
    gradients_free(&want);
    problem_free(&p);
}

static void test_backward_at_all_sizes(void **state)
{
    (void)state;
    static const int dims[] = {1, 3, 15, 16, 17, 64, 100, 513};
    size_t count = sizeof dims / sizeof *dims;
    for (size_t i = 0; i < count + WIDTHS; i++) {
        uint64_t seed = 800 * test_seed() + i;
        int longest = i < count ? 40 : 3, dim = size_of_round(dims, count, i);
        int shortest = i % 2 ? 1 : 2; /* the first position of a text is its own value: nothing but 0 for its key */
        check_backward((struct mr_wkv4){random_int(seed, 1, 4), random_int(seed + 1, shortest, longest), dim}, 2, i % 2,
                       seed);
    }
}

static void test_backward_of_large_keys(void **state)
{
    (void)state;
    check_backward((struct mr_wkv4){2, 50, 37}, 300, false, 900 * test_seed());
    check_backward((struct mr_wkv4){1, 50, 16}, 60, true, 901 * test_seed());
}

struct slope {
    struct problem p;
    const double *dy;
};

static double loss(void *context)
{
    struct slope *c = context;
    struct problem *p = &c->p;
    double *state = zeros(p->state_count), sum = 0;
    memcpy(state, p->state, p->state_count * sizeof *state);
    mr_ref_wkv4_forward(p->k, p->v, p->decay, p->first, state, p->y, p->s.batch, p->s.time, p->s.dim);
    for (size_t i = 0; i < p->n; i++)
        sum += p->y[i] * c->dy[i];
    free(state);
    return sum;
}

static void test_reference_is_the_slope(void **state)
{
    (void)state;
    struct slope c = {.p = problem_of((struct mr_wkv4){1, 9, 5}, 2, true, 950 * test_seed())};
    struct gradients g = gradients_of(&c.p, 7);
    c.dy = g.dy;
    for (size_t i = 0; i < c.p.dim; i++) {
        g.ddecay[i] -= 0.5;
        g.dfirst[i] -= 0.5;
    }
    expect_gradient("k", loss, &c, c.p.k, g.dk, c.p.n, 1e-6);
    expect_gradient("v", loss, &c, c.p.v, g.dv, c.p.n, 1e-6);
    expect_gradient("decay", loss, &c, c.p.decay, g.ddecay, c.p.dim, 1e-6);
    expect_gradient("first", loss, &c, c.p.first, g.dfirst, c.p.dim, 1e-6);
    expect_gradient("state", loss, &c, c.p.state, g.dstate, 2 * c.p.dim, 1e-6);
    gradients_free(&g);
    problem_free(&c.p);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(24);
    struct mr_wkv4 s = {1, 2, 12}, none = {1, 0, 12};
    assert_int_equal(mr_wkv4_forward(rt, &s, &a, &a, &a, &a, &a, &a), MR_EINVAL); /* the state has 36 */
    assert_non_null(strstr(mr_error_text(), "state"));
    assert_int_equal(mr_wkv4_forward(rt, &none, &a, &a, &a, &a, &a, &a), MR_EINVAL);
    const struct mr_wkv4_inputs x = {&a, &a, &a, &a, &a, &a};
    const struct mr_wkv4_gradients g = {&a, &a, &a, &a, &a, &a};
    assert_int_equal(mr_wkv4_backward(rt, &s, &x, &g, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "state"));
    release(&a);
}

/* Steps of `count` texts of a problem from `row` on, gated by r; got [B,T,C]. Returns their states. */
static double *run_steps(const struct problem *p, const double *r, int row, int count, uint64_t seed, double *got)
{
    size_t size = 3 * p->dim, n = (size_t)count * p->dim;
    struct slot_test slots = slot_test_of(seed, count, size, p->state + (size_t)row * size);
    mr_tensor decay = upload(p->decay, p->dim), first = upload(p->first, p->dim);
    for (int t = 0; t < p->s.time; t++) {
        mr_tensor k = upload_at(p->k, row, count, p->s.time, t, p->dim), y = empty(n);
        mr_tensor v = upload_at(p->v, row, count, p->s.time, t, p->dim);
        mr_tensor gate = upload_at(r, row, count, p->s.time, t, p->dim);
        struct mr_wkv4_step s = {count, p->s.dim, slots_in(&slots), &k, &v, &gate, &decay, &first};
        must(mr_wkv4_step(test_runtime(), &s, &y));
        double *rows = download(&y, n);
        rows_to(got, rows, row, count, p->s.time, t, p->dim);
        free(rows);
        release(&k), release(&v), release(&gate), release(&y);
    }
    double *states = slot_states(&slots);
    release(&decay), release(&first);
    slot_test_free(&slots);
    return states;
}

static void test_steps_in_slots(void **state)
{
    (void)state;
    static const int dims[] = {1, 3, 15, 16, 17, 64, 100, 5000};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        uint64_t seed = 600 * test_seed() + i;
        struct problem p = problem_of((struct mr_wkv4){random_int(seed, 1, 5), 9, dims[i]}, 2, i % 2, seed);
        double *r = random_array(seed + 9, p.n, 1), *got = zeros(p.n), *want = zeros(p.n);
        double *states = run_steps(&p, r, 0, p.s.batch, seed, got);
        mr_ref_wkv4_forward(p.k, p.v, p.decay, p.first, p.state, p.y, p.s.batch, p.s.time, p.s.dim);
        mr_ref_sigmoid_gate_forward(r, p.y, want, p.n);
        expect_near_host("y", got, want, p.n, 1e-5);
        expect_near_host("state", states, p.state, p.state_count, 1e-5);
        free(r), free(got), free(want), free(states);
        problem_free(&p);
    }
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    struct problem p = problem_of((struct mr_wkv4){11, 4, 45}, 2, true, 700 * test_seed());
    double *r = random_array(1, p.n, 1), *together = zeros(p.n), *alone = zeros(p.n);
    free(run_steps(&p, r, 0, p.s.batch, 1, together));
    for (int row = 0; row < p.s.batch; row++)
        free(run_steps(&p, r, row, 1, 2 + (uint64_t)row, alone));
    assert_memory_equal(together, alone, p.n * sizeof *alone);
    free(r), free(together), free(alone);
    problem_free(&p);
}

static void test_wrong_slots_are_refused(void **state)
{
    (void)state;
    mr_tensor a = zeroed(24), two = upload_i32((const int32_t[]){0, 1}, 2);
    struct mr_wkv4_step s = {2, 4, {&a, &two, 11}, &a, &a, &a, &a, &a};
    assert_int_equal(mr_wkv4_step(test_runtime(), &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "apart"));
    s.slots.stride = 13;
    assert_int_equal(mr_wkv4_step(test_runtime(), &s, &a), MR_EINVAL);
    s = (struct mr_wkv4_step){3, 2, {&a, &two, 8}, &a, &a, &a, &a, &a};
    assert_int_equal(mr_wkv4_step(test_runtime(), &s, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "slots"));
    release(&a), release(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_at_all_sizes),
        cmocka_unit_test(test_large_keys_do_not_overflow),
        cmocka_unit_test(test_chunks_and_steps_give_the_same_bits),
        cmocka_unit_test(test_backward_at_all_sizes),
        cmocka_unit_test(test_backward_of_large_keys),
        cmocka_unit_test(test_reference_is_the_slope),
        cmocka_unit_test(test_wrong_sizes_are_refused),
        cmocka_unit_test(test_steps_in_slots),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits),
        cmocka_unit_test(test_wrong_slots_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
