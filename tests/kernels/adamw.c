/* SPDX-License-Identifier: GPL-3.0-or-later
 * AdamW and the gradients' norm against the reference. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/adamw.h"
#include "ref/adamw.h"

static void test_steps(void **state)
{
    (void)state;
    static const int sizes[] = {1, 15, 16, 17, 1000, 4097, 70001};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes + WIDTHS; k++) {
        size_t n = (size_t)size_of_round(sizes, sizeof sizes / sizeof *sizes, k), offset = k % 2 ? 64 : 3,
               all = offset + n + 5;
        struct mr_adamw s = {1e-2, 0.9, k % 3 ? 0.99 : 0.95, 1e-8, k % 2 ? 0.1 : 0, 1};
        test_case("adamw: %zu from %zu, seed %llu", n, offset, (unsigned long long)test_seed());
        double *p = random_array(1, all, 1), *m = zeros(all), *v = zeros(all), clip = k == 2 ? 1 : 0.375;
        mr_tensor tp = upload(p, all), tm = upload(m, all), tv = upload(v, all), tclip = upload(&clip, 1);
        for (s.step = 1; s.step <= 4; s.step++) {
            double *g = random_array(10 + (uint64_t)s.step, all, s.step == 3 ? 100 : 1e-3);
            mr_tensor tg = upload(g, all);
            must(mr_adamw(test_runtime(), &s, &tp, &tg, &tm, &tv, offset, n, k == 2 ? NULL : &tclip));
            mr_ref_adamw(s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.step, p + offset, g + offset, m + offset,
                         v + offset, n, clip);
            release(&tg);
            free(g);
        }
        expect_near("p", &tp, p, all, 1e-5); /* what lies around stays as it was */
        expect_near("m", &tm, m, all, 1e-5);
        expect_near("v", &tv, v, all, 1e-5);
        release(&tp), release(&tm), release(&tv), release(&tclip);
        free(p), free(m), free(v);
    }
}

static void test_no_gradient_only_decays(void **state)
{
    (void)state;
    test_case("adamw without a gradient");
    struct mr_adamw s = {0.1, 0.9, 0.999, 1e-8, 0.5, 1};
    double *p = random_array(1, 50, 1), *want = zeros(50);
    for (int i = 0; i < 50; i++)
        want[i] = p[i] * 0.95;
    mr_tensor tp = upload(p, 50), g = zeroed(50), m = zeroed(50), v = zeroed(50);
    must(mr_adamw(test_runtime(), &s, &tp, &g, &m, &v, 0, 50, NULL));
    expect_near("p", &tp, want, 50, 1e-6);
    release(&tp), release(&g), release(&m), release(&v);
    free(p), free(want);
}

static void expect_norm(const mr_tensor *partial, size_t partials, double want, double max_norm)
{
    mr_tensor norm = empty(1), factor = empty(1);
    double clip = mr_ref_clip_factor(want, max_norm);
    must(mr_clip_factor(test_runtime(), partial, partials, (float)max_norm, &norm, &factor));
    expect_near("norm", &norm, &want, 1, 5e-7);
    expect_near("factor", &factor, &clip, 1, 1e-6);
    release(&norm), release(&factor);
}

static void test_norm_over_segments(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {4095, 17}, {4096, 4097}, {70001, 300000}};
    for (size_t k = 0; k < 4; k++) {
        size_t a = (size_t)sizes[k][0], b = (size_t)sizes[k][1], offset = k ? 7 : 0;
        size_t partials = mr_square_sum_partials(a) + mr_square_sum_partials(b);
        test_case("norm of %zu and %zu, seed %llu", a, b, (unsigned long long)test_seed());
        double *g = random_array(k, a + b + offset, 0.02);
        double want = mr_ref_norm(g + offset, a + b);
        mr_tensor first = upload(g, offset + a), second = upload(g + offset + a, b), partial = empty(partials);
        must(mr_square_sum(test_runtime(), &first, offset, a, &partial, 0));
        must(mr_square_sum(test_runtime(), &second, 0, b, &partial, mr_square_sum_partials(a)));
        expect_norm(&partial, partials, want, 0);
        expect_norm(&partial, partials, want, want / 3);
        expect_norm(&partial, partials, want, want * 3);
        release(&first), release(&second), release(&partial);
        free(g);
    }
}

static void test_norm_is_the_same_every_time(void **state)
{
    (void)state;
    test_case("norm twice");
    size_t n = 123457, partials = mr_square_sum_partials(n);
    double *g = random_array(1, n, 1), *first = NULL;
    mr_tensor t = upload(g, n), partial = empty(partials);
    for (int i = 0; i < 3; i++) {
        must(mr_square_sum(test_runtime(), &t, 0, n, &partial, 0));
        double *sums = download(&partial, partials);
        if (first)
            assert_memory_equal(sums, first, partials * sizeof *sums);
        free(first);
        first = sums;
    }
    release(&t), release(&partial);
    free(g), free(first);
}

static void test_a_norm_that_is_no_number_shows(void **state)
{
    (void)state;
    test_case("norm of NaN");
    mr_tensor g = empty(100), partial = empty(1), norm = zeroed(1), factor = zeroed(1);
    must(mr_square_sum(test_runtime(), &g, 0, 100, &partial, 0));
    must(mr_clip_factor(test_runtime(), &partial, 1, 1, &norm, &factor));
    double *a = download(&norm, 1), *b = download(&factor, 1);
    assert_true(isnan(*a) && isnan(*b));
    release(&g), release(&partial), release(&norm), release(&factor);
    free(a), free(b);
}

static void test_losses_of_an_iteration_add_up(void **state)
{
    (void)state;
    test_case("losses of three batches");
    double cross_entropy = 2.5, aux = 0.25, want[] = {2.75, 5.5, 8.25};
    mr_tensor loss = empty(1), a = upload(&cross_entropy, 1), b = upload(&aux, 1);
    for (int i = 0; i < 3; i++) {
        must(mr_gather_loss(test_runtime(), &a, &b, &loss, i == 0));
        expect_near("loss", &loss, &want[i], 1, 0);
    }
    release(&loss), release(&a), release(&b);
}

/* Loss and norm of four iterations of which the third is bad; the updates from then on are held back. */
static void guard(double bad_loss, double bad_norm)
{
    enum { N = 100, ROUNDS = 4, BAD = 2 };
    mr_runtime *rt = test_runtime();
    double *start = random_array(1, N, 1), *kept = NULL;
    mr_tensor p = upload(start, N), g = upload(start, N), m = zeroed(N), v = zeroed(N), report = zeroed(4);
    for (int i = 0; i < ROUNDS; i++) {
        double loss = i == BAD ? bad_loss : 1 + i, norm = i == BAD ? bad_norm : 3 + i, factor = 0.5;
        mr_tensor tloss = upload(&loss, 1), tnorm = upload(&norm, 1), tfactor = upload(&factor, 1);
        struct mr_adamw s = {1e-2, 0.9, 0.99, 1e-8, 0.1, i + 1};
        must(mr_guard_update(rt, &tloss, &tnorm, &tfactor, &report));
        must(mr_adamw(rt, &s, &p, &g, &m, &v, 0, N, &tfactor));
        double *told = download(&report, 4), *now = download(&p, N);
        assert_true(isfinite(loss) ? told[0] == loss : !isfinite(told[0]));
        assert_true(isfinite(norm) ? told[1] == norm : !isfinite(told[1]));
        assert_true(told[2] == (i < BAD ? i + 1 : BAD) && told[3] == (i >= BAD));
        assert_true(i < BAD || !memcmp(now, kept, N * sizeof *now));
        assert_true(i >= BAD || memcmp(now, kept ? kept : start, N * sizeof *now));
        free(kept), free(told);
        kept = now;
        release(&tloss), release(&tnorm), release(&tfactor);
    }
    double *last_m = download(&m, N);
    assert_true(last_m[0] != 0);
    release(&p), release(&g), release(&m), release(&v), release(&report);
    free(start), free(kept), free(last_m);
}

static void test_what_is_not_finite_holds_back_updates(void **state)
{
    (void)state;
    test_case("updates after NaN and infinity");
    guard(NAN, 1);
    guard(1, NAN);
    guard(INFINITY, 1);
    guard(1, INFINITY);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor a = zeroed(10);
    struct mr_adamw s = {1e-3, 0.9, 0.99, 1e-8, 0, 0};
    assert_int_equal(mr_adamw(rt, &s, &a, &a, &a, &a, 0, 10, NULL), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "step"));
    s.step = 1;
    assert_int_equal(mr_adamw(rt, &s, &a, &a, &a, &a, 1, 10, NULL), MR_EINVAL);
    assert_int_equal(mr_square_sum(rt, &a, 0, 10, &a, 10), MR_EINVAL);
    assert_int_equal(mr_clip_factor(rt, &a, 11, 1, &a, &a), MR_EINVAL);
    mr_tensor small = zeroed(3);
    assert_int_equal(mr_guard_update(rt, &a, &a, &a, &small), MR_EINVAL);
    release(&small);
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_no_gradient_only_decays),
        cmocka_unit_test(test_norm_over_segments),
        cmocka_unit_test(test_norm_is_the_same_every_time),
        cmocka_unit_test(test_a_norm_that_is_no_number_shows),
        cmocka_unit_test(test_losses_of_an_iteration_add_up),
        cmocka_unit_test(test_what_is_not_finite_holds_back_updates),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
