/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-5 and 6 against the reference, in one call and in several. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/wkv6.h"
#include "ref/wkv6.h"

struct problem {
    struct mr_wkv6 s;
    size_t n, dim, state_count; /* all positions, one position, the state */
    double *r, *k, *v, *w, *u, *state, *y;
    double *change; /* what the device gets for w */
};

static struct problem problem_of(struct mr_wkv6 s, uint64_t seed)
{
    size_t dim = (size_t)s.heads * (size_t)s.width, n = (size_t)s.batch * (size_t)s.time * dim;
    struct problem p = {.s = s, .n = n, .dim = dim, .state_count = (size_t)s.batch * dim * (size_t)s.width};
    size_t decays = s.varies ? n : dim;
    test_case("wkv6: batch %d time %d heads %d width %d %s seed %llu", s.batch, s.time, s.heads, s.width,
              s.varies ? "varying" : "fixed", (unsigned long long)seed);
    p.r = random_array(seed, n, 1);
    p.k = random_array(seed + 1, n, 1);
    p.v = random_array(seed + 2, n, 1);
    p.change = random_uniform(seed + 3, decays, -1, 0);
    p.u = random_array(seed + 4, dim, 1);
    p.state = random_array(seed + 5, p.state_count, 1);
    p.y = zeros(n);
    p.w = zeros(decays);
    for (size_t i = 0; i < decays; i++)
        p.w[i] = 1 + p.change[i];
    return p;
}

static void reference(struct problem *p)
{
    mr_ref_wkv6_forward(p->r, p->k, p->v, p->w, p->u, p->state, p->y, p->s.batch, p->s.time, p->s.heads, p->s.width,
                        p->s.varies);
}

static void problem_free(struct problem *p)
{
    free(p->r), free(p->k), free(p->v), free(p->w), free(p->u), free(p->state), free(p->y), free(p->change);
}

/* Runs positions from..from + time - 1 of a problem of one text, on tensors of their own. */
static void run_part(const struct problem *p, int from, int time, const mr_tensor *state, double *y)
{
    struct mr_wkv6 s = p->s;
    s.time = time;
    size_t at = (size_t)from * p->dim, n = (size_t)time * p->dim;
    mr_tensor r = upload(p->r + at, n), k = upload(p->k + at, n), v = upload(p->v + at, n), out = empty(n);
    mr_tensor change = s.varies ? upload(p->change + at, n) : upload(p->change, p->dim), u = upload(p->u, p->dim);
    must(mr_wkv6_forward(test_runtime(), &s, &r, &k, &v, &change, &u, state, &out, NULL));
    double *got = download(&out, n);
    memcpy(y + at, got, n * sizeof *y);
    free(got);
    release(&r), release(&k), release(&v), release(&out), release(&change), release(&u);
}

static void check(struct mr_wkv6 s, uint64_t seed)
{
    struct problem p = problem_of(s, seed);
    size_t decays = s.varies ? p.n : p.dim;
    mr_tensor r = upload(p.r, p.n), k = upload(p.k, p.n), v = upload(p.v, p.n), change = upload(p.change, decays);
    mr_tensor u = upload(p.u, p.dim), state = upload(p.state, p.state_count), y = empty(p.n);
    must(mr_wkv6_forward(test_runtime(), &s, &r, &k, &v, &change, &u, &state, &y, NULL));
    reference(&p);
    expect_near("y", &y, p.y, p.n, 1e-5);
    expect_near("state", &state, p.state, p.state_count, 1e-5);
    release(&r), release(&k), release(&v), release(&change), release(&u), release(&state), release(&y);
    problem_free(&p);
}

static void test_forward_at_all_widths(void **state)
{
    (void)state;
    static const int widths[] = {1, 7, 8, 16, 17, 33, 64, 100, 127, 128};
    size_t count = sizeof widths / sizeof *widths, all = test_all_widths() ? 128 : 0;
    for (size_t i = 0; i < count + all; i++)
        for (int varies = 0; varies < 2; varies++) {
            uint64_t seed = 100 * test_seed() + i;
            check((struct mr_wkv6){random_int(seed, 1, 3), random_int(seed + 1, 1, 40), random_int(seed + 2, 1, 4),
                                   size_of_round(widths, count, i), varies},
                  seed);
        }
}

static void test_forward_of_any_length(void **state)
{
    (void)state;
    for (int time = 1; time <= 35; time++)
        check((struct mr_wkv6){1, time, 2, 8, time % 2}, 7000 * test_seed() + (uint64_t)time);
}

/* Sizes of consecutive calls; 0 ends the list, the last size repeats. */
static void check_split(bool varies, const int *sizes)
{
    struct problem p = problem_of((struct mr_wkv6){1, 61, 3, 24, varies}, 40 * test_seed());
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

static void test_chunks_give_the_same_bits(void **state)
{
    (void)state;
    check_split(true, (const int[]){16, 0});
    check_split(false, (const int[]){7, 1, 30, 2, 0});
}

static void test_steps_give_the_same_bits(void **state)
{
    (void)state;
    check_split(true, (const int[]){1, 0});
    check_split(false, (const int[]){1, 0});
}

static void test_long_memory_does_not_drift(void **state)
{
    (void)state;
    const double decays[] = {-9.5, -8, -6, -4};
    struct problem p = problem_of((struct mr_wkv6){1, 3000, 1, 4, false}, 90 * test_seed());
    memset(p.state, 0, p.state_count * sizeof *p.state);
    for (int i = 0; i < 4; i++)
        p.w[i] = exp(-exp(decays[i]));
    mr_tensor raw = upload(decays, 4), r = upload(p.r, p.n), k = upload(p.k, p.n), v = upload(p.v, p.n);
    mr_tensor change = empty(4), u = upload(p.u, 4), memory = upload(p.state, p.state_count), y = empty(p.n);
    must(mr_wkv6_change(test_runtime(), &p.s, &raw, NULL, &change));
    must(mr_wkv6_forward(test_runtime(), &p.s, &r, &k, &v, &change, &u, &memory, &y, NULL));
    reference(&p);
    expect_near("y", &y, p.y, p.n, 2e-6);
    expect_near("state", &memory, p.state, p.state_count, 2e-6);
    release(&raw), release(&r), release(&k), release(&v), release(&change), release(&u), release(&memory), release(&y);
    problem_free(&p);
}

static void test_change(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        uint64_t seed = 300 * test_seed() + (uint64_t)round;
        struct mr_wkv6 s = {random_int(seed, 1, 3), random_int(seed + 1, 1, 50), random_int(seed + 2, 1, 5),
                            round % 3 ? 8 : 64, round % 2}; /* each width is a program */
        size_t dim = (size_t)s.heads * (size_t)s.width, rows = s.varies ? (size_t)s.batch * (size_t)s.time : 1,
               n = rows * dim;
        test_case("wkv6 change: rows %zu heads %d width %d", rows, s.heads, s.width);
        double *decay = random_array(seed, dim, 2), *x = random_array(seed + 1, n, 1), *want = zeros(n);
        mr_ref_wkv6_decay(decay, s.varies ? x : NULL, want, (int)rows, (int)dim);
        for (size_t i = 0; i < n; i++)
            want[i] -= 1;
        mr_tensor d = upload(decay, dim), in = upload(x, n), out = empty(n);
        must(mr_wkv6_change(test_runtime(), &s, &d, s.varies ? &in : NULL, &out));
        expect_near("change", &out, want, n, 2e-6);
        if (s.varies) {
            must(mr_wkv6_change(test_runtime(), &s, &d, &in, &in));
            expect_near("change in x", &in, want, n, 2e-6);
        }
        release(&d), release(&in), release(&out);
        free(decay), free(x), free(want);
    }
}

/* Each number relative to itself. */
static void test_change_is_exact_near_and_far(void **state)
{
    (void)state;
    struct mr_wkv6 s = {1, 1, 1, 1, false};
    for (double x = -60; x < 100; x += 0.37) {
        double decay = (float)x, want = expm1(-exp(decay));
        test_case("wkv6 change: decay %g", decay);
        mr_tensor d = upload(&decay, 1), out = empty(1);
        must(mr_wkv6_change(test_runtime(), &s, &d, NULL, &out));
        expect_near("change", &out, &want, 1, 2e-6);
        release(&d), release(&out);
    }
}

static void test_heads(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        uint64_t seed = 500 * test_seed() + (uint64_t)round;
        struct mr_wkv6 s = {1, 1, random_int(seed, 1, 40), round % 2 ? 8 : 17, false};
        size_t heads = (size_t)s.heads, dim = heads * (size_t)s.width;
        test_case("wkv6 heads: heads %d width %d", s.heads, s.width);
        double *decay = random_array(seed, heads, 2), *first = random_array(seed + 1, heads, 1), *w = zeros(dim),
               *u = zeros(dim);
        mr_ref_wkv6_heads(decay, first, w, u, s.heads, s.width);
        for (size_t i = 0; i < dim; i++)
            w[i] -= 1;
        mr_tensor d = upload(decay, heads), f = upload(first, heads), change = empty(dim), bonus = empty(dim);
        must(mr_wkv6_heads(test_runtime(), &s, &d, &f, &change, &bonus));
        expect_near("change", &change, w, dim, 2e-6);
        expect_near("u", &bonus, u, dim, 2e-6);
        release(&d), release(&f), release(&change), release(&bonus);
        free(decay), free(first), free(w), free(u);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(24), none = {0};
    struct mr_wkv6 s = {1, 2, 3, 4, true}, wide = {1, 1, 1, 129, true}, empty_ = {1, 0, 3, 4, true};
    assert_int_equal(mr_wkv6_forward(rt, &s, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL); /* the state has 48 */
    assert_non_null(strstr(mr_error_text(), "state"));
    assert_int_equal(mr_wkv6_forward(rt, &wide, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL);
    assert_int_equal(mr_wkv6_forward(rt, &empty_, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL);
    assert_int_equal(mr_wkv6_change(rt, &s, &a, NULL, &a), MR_EINVAL);
    assert_int_equal(mr_wkv6_heads(rt, &s, &a, &none, &a, &a), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_at_all_widths),        cmocka_unit_test(test_forward_of_any_length),
        cmocka_unit_test(test_chunks_give_the_same_bits),    cmocka_unit_test(test_steps_give_the_same_bits),
        cmocka_unit_test(test_long_memory_does_not_drift),   cmocka_unit_test(test_change),
        cmocka_unit_test(test_change_is_exact_near_and_far), cmocka_unit_test(test_heads),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
