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

static void check_backward(uint64_t seed, int batch, int time, int dim)
{
    size_t C = (size_t)dim, n = (size_t)batch * (size_t)time * C;
    mr_runtime *rt = test_runtime();
    test_case("dynamic_shift backward: batch %d time %d dim %d seed %llu", batch, time, dim, (unsigned long long)seed);
    double *x = random_array(seed, n, 1), *maa = random_array(seed + 2, MIXTURES * C, 1), *dx = zeros(n);
    double *m = random_array(seed + 3, MIXTURES * n, 1), *dout = random_array(seed + 4, MIXTURES * n, 1);
    double *dmaa = random_array(seed + 5, MIXTURES * C, 1), *dm = zeros(MIXTURES * n);
    mr_tensor tx = upload(x, n), tm = upload(m, MIXTURES * n), dmixed = upload(dout, MIXTURES * n), to = empty(n);
    mr_tensor scratch = empty(mr_dynamic_shift_backward_scratch(rt, batch, time, dim)), in[MIXTURES], out[MIXTURES];
    struct mr_dynamic_shift_gradients g = {.dmixed = &dmixed, .dx = &to};
    const mr_tensor *list[MIXTURES];
    for (size_t k = 0; k < MIXTURES; k++) {
        in[k] = upload(maa + k * C, C);
        out[k] = upload(dmaa + k * C, C);
        list[k] = &in[k];
        g.dmaa[k] = &out[k];
        const struct mr_ref_dynamic_shift_gradients ref = {dout + k * n, dx, dmaa + k * C, dm + k * n};
        mr_ref_dynamic_shift_backward(x, maa + k * C, m + k * n, &ref, batch, time, dim);
    }
    must(mr_dynamic_shift_backward(rt, &tx, list, &tm, &g, &scratch, batch, time, dim));
    expect_near("dx", &to, dx, n, 2e-6);
    expect_near("dm", &dmixed, dm, MIXTURES * n, 1e-6);
    for (size_t k = 0; k < MIXTURES; k++) {
        expect_near("dmaa", &out[k], dmaa + k * C, C, 2e-6);
        release(&in[k]), release(&out[k]);
    }
    release(&tx), release(&tm), release(&dmixed), release(&to), release(&scratch);
    free(x), free(maa), free(dx), free(m), free(dout), free(dmaa), free(dm);
}

static void test_backward(void **state)
{
    (void)state;
    for (int width = 1; width <= WIDTHS; width++)
        check_backward(6000 + (uint64_t)width, 2, 3, width);
    for (uint64_t round = 0; round < 24; round++) {
        uint64_t seed = 1500 * test_seed() + 10 * round;
        check_backward(seed, random_int(seed, 1, 4), random_int(seed + 1, 1, 40), random_int(seed + 2, 1, 150));
    }
    check_backward(3, 7, 1, 33);
}

struct slope {
    double *x, *maa, *m, *out;
    const double *dout;
};

static double loss(void *context)
{
    struct slope *c = context;
    double sum = 0;
    mr_ref_dynamic_shift_forward(c->x, NULL, c->maa, c->m, c->out, 2, 4, 3);
    for (int i = 0; i < 24; i++)
        sum += c->out[i] * c->dout[i];
    return sum;
}

static void test_reference_is_the_slope(void **state)
{
    (void)state;
    test_case("dynamic_shift reference");
    double *dx = zeros(24), *dmaa = zeros(3), *dm = zeros(24), *dout = random_array(3, 24, 1);
    struct slope c = {random_array(1, 24, 1), random_array(2, 3, 1), random_array(4, 24, 1), zeros(24), dout};
    const struct mr_ref_dynamic_shift_gradients g = {dout, dx, dmaa, dm};
    mr_ref_dynamic_shift_backward(c.x, c.maa, c.m, &g, 2, 4, 3);
    expect_gradient("x", loss, &c, c.x, dx, 24, 1e-6);
    expect_gradient("maa", loss, &c, c.maa, dmaa, 3, 1e-6);
    expect_gradient("m", loss, &c, c.m, dm, 24, 1e-6);
    free(dx), free(dmaa), free(dm), free(dout), free(c.x), free(c.maa), free(c.m), free(c.out);
}

static void test_random_shapes(void **state)
{
    (void)state;
    for (int width = 1; width <= WIDTHS; width++)
        check(5000 + (uint64_t)width, 2, 3, width, width % 2 == 0);
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
    const struct mr_dynamic_shift_gradients g = {&a, &none, {&a, &a, &a, &a, &a}};
    assert_int_equal(mr_dynamic_shift_backward(rt, &a, maa, &a, &g, &a, 1, 3, 4), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "dx"));
    assert_int_equal(mr_dynamic_shift_step(rt, &a, &a, &a, maa, &a, 2, 3, 6), MR_EINVAL); /* 90 in w2 */
    assert_non_null(strstr(mr_error_text(), "w2"));
    assert_int_equal(mr_dynamic_shift_step(rt, &a, &a, &a, lacking, &a, 2, 2, 6), MR_EINVAL);
    release(&a);
}

/* One step: mixes [3,R,C], low [R,5*E], w2 [5,E,C], maa [5,C]; what it gives is [5,R,C], n = R*C. */
struct step {
    int rows, width, dim;
    size_t n;
    double *mixes, *low, *w2, *maa;
};

static struct step step_of(int rows, int width, int dim, uint64_t seed)
{
    size_t C = (size_t)dim, E = (size_t)width, n = (size_t)rows * C;
    test_case("dynamic_shift step: rows %d width %d dim %d seed %llu", rows, width, dim, (unsigned long long)seed);
    return (struct step){.rows = rows,
                         .width = width,
                         .dim = dim,
                         .n = n,
                         .mixes = random_array(seed, 3 * n, 1),
                         .low = random_array(seed + 1, (size_t)rows * MIXTURES * E, 0.5),
                         .w2 = random_array(seed + 2, MIXTURES * E * C, 0.5),
                         .maa = random_array(seed + 3, MIXTURES * C, 1)};
}

static void step_free(struct step *s)
{
    free(s->mixes), free(s->low), free(s->w2), free(s->maa);
}

static double *step_reference(const struct step *s)
{
    size_t C = (size_t)s->dim, E = (size_t)s->width;
    double *want = zeros(MIXTURES * s->n), *m = zeros(s->n), *before = zeros(s->n);
    const double *x = s->mixes + s->n, *shift = x + s->n;
    for (size_t i = 0; i < s->n; i++)
        before[i] = x[i] + shift[i];
    for (size_t k = 0; k < MIXTURES; k++) {
        for (size_t i = 0; i < s->n; i++) {
            m[i] = 0;
            for (size_t e = 0; e < E; e++)
                m[i] += s->low[(i / C * MIXTURES + k) * E + e] * s->w2[(k * E + e) * C + i % C];
        }
        mr_ref_dynamic_shift_forward(x, before, s->maa + k * C, m, want + k * s->n, s->rows, 1, s->dim);
    }
    free(m), free(before);
    return want;
}

/* `count` rows from `row` on; their places in got [5,R,C] are written. */
static void step_run(const struct step *s, int row, int count, double *got)
{
    size_t C = (size_t)s->dim, E = (size_t)s->width, n = (size_t)count * C, at = (size_t)row * C;
    double *part = zeros(3 * n);
    for (size_t k = 0; k < 3; k++)
        memcpy(part + k * n, s->mixes + k * s->n + at, n * sizeof *part);
    mr_tensor mixes = upload(part, 3 * n), w2 = upload(s->w2, MIXTURES * E * C), out = empty(MIXTURES * n);
    mr_tensor low = upload(s->low + (size_t)row * MIXTURES * E, (size_t)count * MIXTURES * E), vectors[MIXTURES];
    const mr_tensor *list[MIXTURES];
    for (size_t k = 0; k < MIXTURES; k++) {
        vectors[k] = upload(s->maa + k * C, C);
        list[k] = &vectors[k];
    }
    must(mr_dynamic_shift_step(test_runtime(), &mixes, &low, &w2, list, &out, count, s->width, s->dim));
    double *rows = download(&out, MIXTURES * n);
    for (size_t k = 0; k < MIXTURES; k++) {
        memcpy(got + k * s->n + at, rows + k * n, n * sizeof *got);
        release(&vectors[k]);
    }
    release(&mixes), release(&w2), release(&out), release(&low);
    free(part), free(rows);
}

static void test_steps(void **state)
{
    (void)state;
    static const int dims[] = {1, 7, 8, 15, 16, 17, 64, 65, 100, 2048};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        uint64_t seed = 2000 * test_seed() + 10 * i;
        struct step s = step_of(random_int(seed, 1, 9), random_int(seed + 1, 1, 40), dims[i], seed);
        double *got = zeros(MIXTURES * s.n), *want = step_reference(&s);
        step_run(&s, 0, s.rows, got);
        expect_near_host("mixed", got, want, MIXTURES * s.n, 1e-5);
        free(got), free(want);
        step_free(&s);
    }
}

static void test_a_row_alone_has_the_same_bits(void **state)
{
    (void)state;
    struct step s = step_of(11, 32, 150, 3000 * test_seed());
    double *together = zeros(MIXTURES * s.n), *alone = zeros(MIXTURES * s.n);
    step_run(&s, 0, s.rows, together);
    for (int row = 0; row < s.rows; row++)
        step_run(&s, row, 1, alone);
    assert_memory_equal(together, alone, MIXTURES * s.n * sizeof *alone);
    free(together), free(alone);
    step_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_reference_is_the_slope),
        cmocka_unit_test(test_single_positions),
        cmocka_unit_test(test_wrong_sizes_are_refused),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_a_row_alone_has_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
