/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-7, and what surrounds it, against the reference; in one call and in several. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/wkv7.h"
#include "ref/wkv7.h"

enum { R, W, K, V, KAPPA, REMOVAL, INPUTS };

struct problem {
    struct mr_wkv7 s;
    size_t n, dim, state_count; /* all positions, one position, the state */
    double *in[INPUTS];         /* W is the change, w - 1 */
    double *w, *state, *y;
};

/* kappa of length 1 per head, removal = kappa times rates from 0 to 1. */
static void draw_directions(struct problem *p, uint64_t seed)
{
    size_t N = (size_t)p->s.width;
    double *rate = random_uniform(seed, p->n, 0, 1);
    for (size_t head = 0; head < p->n; head += N) {
        double squares = 0;
        for (size_t i = head; i < head + N; i++)
            squares += p->in[KAPPA][i] * p->in[KAPPA][i];
        for (size_t i = head; i < head + N; i++) {
            p->in[KAPPA][i] = (float)(p->in[KAPPA][i] / sqrt(squares));
            p->in[REMOVAL][i] = (float)(p->in[KAPPA][i] * rate[i]);
        }
    }
    free(rate);
}

static struct problem problem_of(struct mr_wkv7 s, uint64_t seed)
{
    size_t dim = (size_t)s.heads * (size_t)s.width, n = (size_t)s.batch * (size_t)s.time * dim;
    struct problem p = {.s = s, .n = n, .dim = dim, .state_count = (size_t)s.batch * dim * (size_t)s.width};
    test_case("wkv7: batch %d time %d heads %d width %d seed %llu", s.batch, s.time, s.heads, s.width,
              (unsigned long long)seed);
    for (int i = 0; i < INPUTS; i++)
        p.in[i] = i == W ? random_uniform(seed + W, n, -0.45, 0) : random_array(seed + (uint64_t)i, n, 1);
    draw_directions(&p, seed + 20);
    p.state = random_array(seed + 30, p.state_count, 1);
    p.y = zeros(n);
    p.w = zeros(n);
    for (size_t i = 0; i < n; i++)
        p.w[i] = 1 + p.in[W][i];
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]);
    free(p->w), free(p->state), free(p->y);
}

/* Positions from..from + time - 1: of one text, or all of them. */
static mr_tensor run(const struct problem *p, int from, int time, const mr_tensor *state)
{
    struct mr_wkv7 s = p->s;
    size_t at = (size_t)from * p->dim, n = (size_t)s.batch * (size_t)time * p->dim;
    mr_tensor in[INPUTS], y = empty(n);
    s.time = time;
    for (int i = 0; i < INPUTS; i++)
        in[i] = upload(p->in[i] + at, n);
    must(
        mr_wkv7_forward(test_runtime(), &s, &in[R], &in[W], &in[K], &in[V], &in[KAPPA], &in[REMOVAL], state, &y, NULL));
    for (int i = 0; i < INPUTS; i++)
        release(&in[i]);
    return y;
}

static void check(struct mr_wkv7 s, uint64_t seed, double tolerance)
{
    struct problem p = problem_of(s, seed);
    mr_tensor state = upload(p.state, p.state_count), y = run(&p, 0, s.time, &state);
    mr_ref_wkv7_forward(p.in[R], p.w, p.in[K], p.in[V], p.in[KAPPA], p.in[REMOVAL], p.state, p.y, s.batch, s.time,
                        s.heads, s.width);
    expect_near("y", &y, p.y, p.n, tolerance);
    expect_near("state", &state, p.state, p.state_count, tolerance);
    release(&state), release(&y);
    problem_free(&p);
}

static void test_forward_at_all_widths(void **state)
{
    (void)state;
    static const int widths[] = {1, 7, 8, 16, 17, 33, 64, 100, 127, 128};
    size_t count = sizeof widths / sizeof *widths, all = test_all_widths() ? 128 : 0;
    for (size_t i = 0; i < count + all; i++) {
        uint64_t seed = 100 * test_seed() + i;
        check((struct mr_wkv7){random_int(seed, 1, 3), random_int(seed + 1, 1, 25), random_int(seed + 2, 1, 3),
                               size_of_round(widths, count, i)},
              seed, 1e-5);
    }
}

static void test_forward_of_any_length(void **state)
{
    (void)state;
    for (int time = 1; time <= 35; time++)
        check((struct mr_wkv7){1, time, 2, 8}, 7000 * test_seed() + (uint64_t)time, 1e-5);
}

static void test_long_texts(void **state)
{
    (void)state;
    check((struct mr_wkv7){1, 1500, 2, 8}, 11 * test_seed(), 2e-5);
}

/* Sizes of consecutive calls; 0 ends the list, the last size repeats. */
static void check_split(int width, const int *sizes)
{
    struct problem p = problem_of((struct mr_wkv7){1, 61, 3, width}, 40 * test_seed());
    mr_tensor whole_state = upload(p.state, p.state_count), state = upload(p.state, p.state_count);
    mr_tensor all = run(&p, 0, p.s.time, &whole_state);
    double *whole = download(&all, p.n), *a, *b;
    for (int at = 0, size; at < p.s.time; at += size) {
        size = *sizes < p.s.time - at ? *sizes : p.s.time - at;
        sizes += sizes[1] > 0;
        size_t n = (size_t)size * p.dim;
        mr_tensor y = run(&p, at, size, &state);
        double *part = download(&y, n);
        assert_memory_equal(part, whole + (size_t)at * p.dim, n * sizeof *part);
        release(&y);
        free(part);
    }
    a = download(&whole_state, p.state_count), b = download(&state, p.state_count);
    assert_memory_equal(a, b, p.state_count * sizeof *a);
    release(&whole_state), release(&state), release(&all);
    free(whole), free(a), free(b);
    problem_free(&p);
}

static void test_chunks_give_the_same_bits(void **state)
{
    (void)state;
    check_split(24, (const int[]){16, 0});
    check_split(64, (const int[]){7, 1, 30, 2, 0});
}

static void test_steps_give_the_same_bits(void **state)
{
    (void)state;
    check_split(24, (const int[]){1, 0});
    check_split(64, (const int[]){1, 0});
}

/* ---- what surrounds it ------------------------------------------------------------------------------------ */

enum { A = V + 1, FIRST, SHARE, ROWS }; /* after R, W, K, V */

/* From w, a, k and v, in place or into tensors of their own */
static int inputs(const struct mr_wkv7 *s, mr_tensor t[ROWS], const mr_tensor *kappa, const mr_tensor *k_k,
                  const mr_tensor *k_a, bool mixes, mr_tensor *to)
{
    const struct mr_wkv7_inputs x = {.w = &t[W],
                                     .a = &t[A],
                                     .k = &t[K],
                                     .v = &t[V],
                                     .v_first = mixes ? &t[FIRST] : NULL,
                                     .share = mixes ? &t[SHARE] : NULL,
                                     .k_k = k_k,
                                     .k_a = k_a,
                                     .change = &to[W],
                                     .removal = &to[A],
                                     .key = &to[K],
                                     .value = &to[V],
                                     .kappa = kappa};
    return mr_wkv7_inputs(test_runtime(), s, &x);
}

static void check_inputs(struct mr_wkv7 s, uint64_t seed, bool mixes)
{
    size_t dim = (size_t)s.heads * (size_t)s.width, rows = (size_t)s.batch * (size_t)s.time, n = rows * dim;
    double *x[ROWS], *kappa = zeros(n), *k_k = random_array(seed + 10, dim, 1), *k_a = random_array(seed + 11, dim, 1);
    mr_tensor t[ROWS], t_kappa = empty(n), t_k_k = upload(k_k, dim), t_k_a = upload(k_a, dim);
    test_case("wkv7 inputs: rows %zu heads %d width %d%s", rows, s.heads, s.width, mixes ? ", with v_first" : "");
    for (int i = 0; i < ROWS; i++) {
        x[i] = random_array(seed + (uint64_t)i, n, i == W ? 4 : 1);
        t[i] = upload(x[i], n);
    }
    must(inputs(&s, t, &t_kappa, &t_k_k, &t_k_a, mixes, t));
    mr_ref_wkv7_inputs(x[W], x[A], x[K], x[V], kappa, mixes ? x[FIRST] : NULL, x[SHARE], k_k, k_a, (int)rows, s.heads,
                       s.width);
    for (size_t i = 0; i < n; i++)
        x[W][i] -= 1;
    expect_near("change", &t[W], x[W], n, 1e-6);
    expect_near("removal", &t[A], x[A], n, 2e-6);
    expect_near("k", &t[K], x[K], n, 2e-6);
    expect_near("v", &t[V], x[V], n, 2e-6);
    expect_near("kappa", &t_kappa, kappa, n, 2e-6);
    for (int i = 0; i < ROWS; i++) {
        release(&t[i]);
        free(x[i]);
    }
    release(&t_kappa), release(&t_k_k), release(&t_k_a);
    free(kappa), free(k_k), free(k_a);
}

static void check_output(struct mr_wkv7 s, uint64_t seed)
{
    enum { r, k, v, g, y, all };
    size_t dim = (size_t)s.heads * (size_t)s.width, rows = (size_t)s.batch * (size_t)s.time, n = rows * dim;
    double *x[all], *bonus = random_array(seed + 10, dim, 1);
    mr_tensor t[all], t_bonus = upload(bonus, dim);
    test_case("wkv7 output: rows %zu heads %d width %d", rows, s.heads, s.width);
    for (int i = 0; i < all; i++) {
        x[i] = random_array(seed + (uint64_t)i, n, 1);
        t[i] = upload(x[i], n);
    }
    must(mr_wkv7_output(test_runtime(), &s, &t[r], &t[k], &t[v], &t_bonus, &t[g], &t[y], &t[y]));
    mr_ref_wkv7_output(x[r], x[k], x[v], bonus, x[g], x[y], (int)rows, s.heads, s.width);
    expect_near("y", &t[y], x[y], n, 2e-6);
    for (int i = 0; i < all; i++) {
        release(&t[i]);
        free(x[i]);
    }
    release(&t_bonus);
    free(bonus);
}

static const int some_widths[] = {1, 7, 16, 33, 64, 128};

static struct mr_wkv7 random_shape(uint64_t seed, int width)
{
    return (struct mr_wkv7){random_int(seed, 1, 3), random_int(seed + 1, 1, 30), random_int(seed + 2, 1, 5), width};
}

static void test_inputs_of_the_recurrence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof some_widths / sizeof *some_widths; i++) {
        uint64_t seed = 300 * test_seed() + 20 * i;
        check_inputs(random_shape(seed, some_widths[i]), seed, false);
        check_inputs(random_shape(seed + 5, some_widths[i]), seed + 5, true);
    }
}

static void test_output(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof some_widths / sizeof *some_widths; i++) {
        uint64_t seed = 600 * test_seed() + 20 * i;
        check_output(random_shape(seed, some_widths[i]), seed);
    }
}

/* Each number relative to itself: slow decays keep their digits. */
static void test_change_is_exact_near_and_far(void **state)
{
    (void)state;
    struct mr_wkv7 s = {1, 1, 1, 1};
    mr_tensor other = zeroed(1), out = empty(1);
    for (double x = -60; x < 100; x += 0.73) {
        double w = (float)x, want = expm1(-exp(-0.5) / (1 + exp(-w)));
        test_case("wkv7 inputs: w %g", w);
        mr_tensor t[ROWS] = {other, upload(&w, 1), other, other, other};
        must(inputs(&s, t, &out, &other, &other, false, t));
        expect_near("change", &t[W], &want, 1, 2e-6);
        release(&t[W]);
    }
    release(&other), release(&out);
}

static void test_keys_of_length_zero_give_zero(void **state)
{
    (void)state;
    struct mr_wkv7 s = {1, 1, 2, 4};
    double *none = zeros(8);
    mr_tensor x[ROWS], vector = zeroed(8), kappa = empty(8);
    test_case("wkv7 inputs: k = 0");
    for (int i = 0; i < ROWS; i++)
        x[i] = zeroed(8);
    must(inputs(&s, x, &kappa, &vector, &vector, false, x));
    expect_near("kappa", &kappa, none, 8, 1e-9);
    for (int i = 0; i < ROWS; i++)
        release(&x[i]);
    release(&vector), release(&kappa);
    free(none);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(24), none = {0}, rows[ROWS] = {a, a, a, a, a, a};
    struct mr_wkv7 s = {1, 2, 3, 4}, wide = {1, 1, 1, 129}, nothing = {1, 0, 3, 4};
    assert_int_equal(mr_wkv7_forward(rt, &s, &a, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL); /* the state has 48 */
    assert_non_null(strstr(mr_error_text(), "state"));
    assert_int_equal(mr_wkv7_forward(rt, &wide, &a, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL);
    assert_int_equal(mr_wkv7_forward(rt, &nothing, &a, &a, &a, &a, &a, &a, &a, &a, NULL), MR_EINVAL);
    assert_int_equal(inputs(&s, rows, &a, &a, &a, true, rows), MR_EINVAL); /* v_first alone */
    assert_int_equal(mr_wkv7_output(rt, &s, &a, &a, &a, &none, &a, &a, &a), MR_EINVAL);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_at_all_widths),
        cmocka_unit_test(test_forward_of_any_length),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_chunks_give_the_same_bits),
        cmocka_unit_test(test_steps_give_the_same_bits),
        cmocka_unit_test(test_inputs_of_the_recurrence),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_change_is_exact_near_and_far),
        cmocka_unit_test(test_keys_of_length_zero_give_zero),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
