/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of what surrounds RWKV-7's recurrence against the reference, and the reference against central
 * differences. */
#include <string.h>

#include "kernel_test.h"
#include "ops/wkv7_around.h"
#include "ref/wkv7.h"
#include "ref/wkv7_around.h"

/* What goes in: rows, then vectors. */
enum { W, A, K, V, FIRST, SHARE, K_K, K_A, INPUTS };
/* Gradients: of change, removal, key, value and kappa; then of share, v_first, k_k and k_a. */
enum { CHANGE, REMOVAL, KEY, VALUE, KAPPA, DSHARE, DFIRST, DK_K, DK_A, GRADIENTS };

struct problem {
    struct mr_wkv7 s;
    size_t n, dim;
    bool mixes;
    double *in[INPUTS], *d[GRADIENTS], *want[VALUE + 2]; /* want: the weights of what comes out in the loss */
};

static size_t size_of(const struct problem *p, bool vector)
{
    return vector ? p->dim : p->n;
}

static struct problem problem_of(struct mr_wkv7 s, bool mixes, uint64_t seed)
{
    size_t dim = (size_t)s.heads * (size_t)s.width;
    struct problem p = {.s = s, .n = (size_t)s.batch * (size_t)s.time * dim, .dim = dim, .mixes = mixes};
    test_case("wkv7 inputs backward: rows %d heads %d width %d%s seed %llu", s.batch * s.time, s.heads, s.width,
              mixes ? ", with v_first" : "", (unsigned long long)seed);
    for (int i = 0; i < INPUTS; i++)
        p.in[i] = random_array(seed + (uint64_t)i, size_of(&p, i >= K_K), i == W ? 3 : 1);
    for (int i = 0; i < GRADIENTS; i++)
        p.d[i] = random_array(seed + 50 + (uint64_t)i, size_of(&p, i >= DK_K), 1);
    for (int i = 0; i <= KAPPA; i++) {
        p.want[i] = zeros(p.n);
        memcpy(p.want[i], p.d[i], p.n * sizeof(double));
    }
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < INPUTS; i++)
        free(p->in[i]);
    for (int i = 0; i < GRADIENTS; i++)
        free(p->d[i]);
    for (int i = 0; i <= KAPPA; i++)
        free(p->want[i]);
}

static void run_reference(struct problem *p)
{
    const struct mr_ref_wkv7_inputs x = {
        p->s.batch * p->s.time,         p->s.heads,   p->s.width, p->in[W],  p->in[A], p->in[K], p->in[V],
        p->mixes ? p->in[FIRST] : NULL, p->in[SHARE], p->in[K_K], p->in[K_A]};
    const struct mr_ref_wkv7_inputs_gradients g = {p->d[CHANGE], p->d[REMOVAL], p->d[KEY],  p->d[VALUE], p->d[DSHARE],
                                                   p->d[DFIRST], p->d[DK_K],    p->d[DK_A], p->d[KAPPA]};
    mr_ref_wkv7_inputs_backward(&x, &g);
}

static void check_inputs(struct mr_wkv7 s, bool mixes, uint64_t seed)
{
    struct problem p = problem_of(s, mixes, seed);
    mr_runtime *rt = test_runtime();
    mr_tensor in[INPUTS], d[GRADIENTS], scratch = empty(mr_wkv7_around_scratch(rt, &s));
    for (int i = 0; i < INPUTS; i++)
        in[i] = upload(p.in[i], size_of(&p, i >= K_K));
    for (int i = 0; i < GRADIENTS; i++)
        d[i] = upload(p.d[i], size_of(&p, i >= DK_K));
    const struct mr_wkv7_inputs x = {.w = &in[W],
                                     .a = &in[A],
                                     .k = &in[K],
                                     .v = &in[V],
                                     .v_first = mixes ? &in[FIRST] : NULL,
                                     .share = &in[SHARE],
                                     .k_k = &in[K_K],
                                     .k_a = &in[K_A]};
    const struct mr_wkv7_inputs_gradients g = {&d[CHANGE], &d[REMOVAL], &d[KEY],  &d[VALUE], &d[KAPPA],
                                               &d[DSHARE], &d[DFIRST],  &d[DK_K], &d[DK_A]};
    must(mr_wkv7_inputs_backward(rt, &s, &x, &g, &scratch));
    run_reference(&p);
    static const char *const names[] = {"dw", "da", "dk", "dv", "dkappa", "dshare", "dv_first", "dk_k", "dk_a"};
    for (int i = 0; i < GRADIENTS; i++)
        expect_near(names[i], &d[i], p.d[i], size_of(&p, i >= DK_K), 5e-6);
    for (int i = 0; i < INPUTS; i++)
        release(&in[i]);
    for (int i = 0; i < GRADIENTS; i++)
        release(&d[i]);
    release(&scratch);
    problem_free(&p);
}

static const int some_widths[] = {1, 7, 16, 33, 64, 128};

static struct mr_wkv7 random_shape(uint64_t seed, int width)
{
    return (struct mr_wkv7){random_int(seed, 1, 3), random_int(seed + 1, 1, 30), random_int(seed + 2, 1, 5), width};
}

static void test_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof some_widths / sizeof *some_widths; i++) {
        uint64_t seed = 310 * test_seed() + 20 * i;
        check_inputs(random_shape(seed, some_widths[i]), false, seed);
        check_inputs(random_shape(seed + 5, some_widths[i]), true, seed + 5);
    }
}

static void test_many_rows(void **state)
{
    (void)state;
    check_inputs((struct mr_wkv7){3, 101, 2, 24}, true, 77 * test_seed());
}

/* What mr_ref_wkv7_inputs gives, weighted by the gradients that go in */
static double inputs_loss(void *context)
{
    struct problem *p = context;
    double *x[V + 1], *kappa = zeros(p->n), sum = 0;
    for (int i = 0; i <= V; i++) {
        x[i] = zeros(p->n);
        memcpy(x[i], p->in[i], p->n * sizeof(double));
    }
    mr_ref_wkv7_inputs(x[W], x[A], x[K], x[V], kappa, p->mixes ? p->in[FIRST] : NULL, p->in[SHARE], p->in[K_K],
                       p->in[K_A], p->s.batch * p->s.time, p->s.heads, p->s.width);
    for (size_t i = 0; i < p->n; i++)
        sum += x[W][i] * p->want[CHANGE][i] + x[A][i] * p->want[REMOVAL][i] + x[K][i] * p->want[KEY][i] +
               x[V][i] * p->want[VALUE][i] + kappa[i] * p->want[KAPPA][i];
    for (int i = 0; i <= V; i++)
        free(x[i]);
    free(kappa);
    return sum;
}

static void test_reference_of_the_inputs_is_the_slope(void **state)
{
    (void)state;
    struct problem p = problem_of((struct mr_wkv7){1, 5, 2, 6}, true, 9 * test_seed());
    memset(p.d[DFIRST], 0, p.n * sizeof(double));
    memset(p.d[DK_K], 0, p.dim * sizeof(double));
    memset(p.d[DK_A], 0, p.dim * sizeof(double));
    run_reference(&p);
    expect_gradient("w", inputs_loss, &p, p.in[W], p.d[CHANGE], p.n, 1e-6);
    expect_gradient("a", inputs_loss, &p, p.in[A], p.d[REMOVAL], p.n, 1e-6);
    expect_gradient("k", inputs_loss, &p, p.in[K], p.d[KEY], p.n, 1e-6);
    expect_gradient("v", inputs_loss, &p, p.in[V], p.d[VALUE], p.n, 1e-6);
    expect_gradient("share", inputs_loss, &p, p.in[SHARE], p.d[DSHARE], p.n, 1e-6);
    expect_gradient("v_first", inputs_loss, &p, p.in[FIRST], p.d[DFIRST], p.n, 1e-6);
    expect_gradient("k_k", inputs_loss, &p, p.in[K_K], p.d[DK_K], p.dim, 1e-6);
    expect_gradient("k_a", inputs_loss, &p, p.in[K_A], p.d[DK_A], p.dim, 1e-6);
    problem_free(&p);
}

/* Keys of length zero: kappa's gradient is divided by 1e-12, and there is no direction to take out. */
static void test_keys_of_length_zero(void **state)
{
    (void)state;
    struct mr_wkv7 s = {1, 1, 1, 4};
    double *none = zeros(4), *one = random_uniform(1, 4, 1, 1), want[4] = {1e12, 1e12, 1e12, 1e12};
    mr_tensor zero = zeroed(4), k_k = upload(one, 4), k_a = zeroed(4), d[6], dk_k = zeroed(4), dk_a = zeroed(4);
    mr_tensor dkappa = upload(one, 4), scratch = empty(mr_wkv7_around_scratch(test_runtime(), &s));
    for (int i = 0; i < 6; i++)
        d[i] = zeroed(4);
    const struct mr_wkv7_inputs x = {.w = &zero, .a = &zero, .k = &zero, .v = &zero, .k_k = &k_k, .k_a = &k_a};
    const struct mr_wkv7_inputs_gradients g = {.dchange = &d[0],
                                               .dremoval = &d[1],
                                               .dkey = &d[2],
                                               .dvalue = &d[3],
                                               .dkappa = &dkappa,
                                               .dk_k = &dk_k,
                                               .dk_a = &dk_a};
    must(mr_wkv7_inputs_backward(test_runtime(), &s, &x, &g, &scratch));
    expect_near("dk", &d[2], want, 4, 1e-6);
    expect_near("dk_k", &dk_k, none, 4, 1e-6);
    for (int i = 0; i < 6; i++)
        release(&d[i]);
    release(&zero), release(&k_k), release(&k_a), release(&dk_k), release(&dk_a), release(&dkappa), release(&scratch);
    free(none), free(one);
}

/* ---- the output --------------------------------------------------------------------------------------------- */

enum { OUT_R, OUT_K, OUT_V, OUT_G, OUT_X, OUTS };

struct output {
    struct mr_wkv7 s;
    size_t n, dim;
    double *in[OUTS], *bonus, *dy, *d[OUTS], *dbonus;
};

static struct output output_of(struct mr_wkv7 s, uint64_t seed)
{
    size_t dim = (size_t)s.heads * (size_t)s.width, n = (size_t)s.batch * (size_t)s.time * dim;
    struct output p = {.s = s, .n = n, .dim = dim};
    test_case("wkv7 output backward: rows %d heads %d width %d seed %llu", s.batch * s.time, s.heads, s.width,
              (unsigned long long)seed);
    for (int i = 0; i < OUTS; i++) {
        p.in[i] = random_array(seed + (uint64_t)i, n, 1);
        p.d[i] = zeros(n);
    }
    p.bonus = random_array(seed + 10, dim, 1);
    p.dy = random_array(seed + 11, n, 1);
    p.dbonus = zeros(dim);
    const struct mr_ref_wkv7_output x = {s.batch * s.time, s.heads, s.width,     p.in[OUT_R], p.in[OUT_K],
                                         p.in[OUT_V],      p.bonus, p.in[OUT_G], p.in[OUT_X]};
    const struct mr_ref_wkv7_output_gradients g = {p.dy,       p.d[OUT_R], p.d[OUT_K], p.d[OUT_V],
                                                   p.d[OUT_G], p.d[OUT_X], p.dbonus};
    mr_ref_wkv7_output_backward(&x, &g);
    return p;
}

static void output_free(struct output *p)
{
    for (int i = 0; i < OUTS; i++)
        free(p->in[i]), free(p->d[i]);
    free(p->bonus), free(p->dy), free(p->dbonus);
}

static void check_output(struct mr_wkv7 s, uint64_t seed)
{
    struct output p = output_of(s, seed);
    mr_tensor in[OUTS], d[OUTS], bonus = upload(p.bonus, p.dim), dy = upload(p.dy, p.n), dbonus = zeroed(p.dim);
    mr_tensor scratch = empty(mr_wkv7_around_scratch(test_runtime(), &s));
    for (int i = 0; i < OUTS; i++) {
        in[i] = upload(p.in[i], p.n);
        d[i] = empty(p.n);
    }
    const struct mr_wkv7_output x = {&in[OUT_R], &in[OUT_K], &in[OUT_V], &bonus, &in[OUT_G], &in[OUT_X]};
    const struct mr_wkv7_output_gradients g = {&dy, &d[OUT_R], &d[OUT_K], &d[OUT_V], &d[OUT_G], &d[OUT_X], &dbonus};
    must(mr_wkv7_output_backward(test_runtime(), &s, &x, &g, &scratch));
    static const char *const names[] = {"dr", "dk", "dv", "dg", "dx"};
    for (int i = 0; i < OUTS; i++)
        expect_near(names[i], &d[i], p.d[i], p.n, 5e-6);
    expect_near("dbonus", &dbonus, p.dbonus, p.dim, 5e-6);
    for (int i = 0; i < OUTS; i++)
        release(&in[i]), release(&d[i]);
    release(&bonus), release(&dy), release(&dbonus), release(&scratch);
    output_free(&p);
}

static void test_output(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof some_widths / sizeof *some_widths; i++) {
        uint64_t seed = 610 * test_seed() + 20 * i;
        check_output(random_shape(seed, some_widths[i]), seed);
    }
}

static double output_loss(void *context)
{
    struct output *p = context;
    double *y = zeros(p->n), sum = 0;
    memcpy(y, p->in[OUT_X], p->n * sizeof *y);
    mr_ref_wkv7_output(p->in[OUT_R], p->in[OUT_K], p->in[OUT_V], p->bonus, p->in[OUT_G], y, p->s.batch * p->s.time,
                       p->s.heads, p->s.width);
    for (size_t i = 0; i < p->n; i++)
        sum += y[i] * p->dy[i];
    free(y);
    return sum;
}

static void test_reference_of_the_output_is_the_slope(void **state)
{
    (void)state;
    struct output p = output_of((struct mr_wkv7){1, 4, 2, 5}, 19 * test_seed());
    static const char *const names[] = {"r", "k", "v", "g", "x"};
    for (int i = 0; i < OUTS; i++)
        expect_gradient(names[i], output_loss, &p, p.in[i], p.d[i], p.n, 1e-6);
    expect_gradient("bonus", output_loss, &p, p.bonus, p.dbonus, p.dim, 1e-6);
    output_free(&p);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_tensor a = zeroed(1000), none = {0};
    struct mr_wkv7 s = {1, 2, 3, 4};
    const struct mr_wkv7_output x = {&a, &a, &a, &none, &a, &a};
    const struct mr_wkv7_output_gradients g = {&a, &a, &a, &a, &a, &a, &a};
    const struct mr_wkv7_inputs in = {
        .w = &a, .a = &a, .k = &a, .v = &a, .v_first = &a, .share = &a, .k_k = &a, .k_a = &a};
    const struct mr_wkv7_inputs_gradients d = {
        .dchange = &a, .dremoval = &a, .dkey = &a, .dvalue = &a, .dkappa = &a, .dk_k = &a, .dk_a = &a};
    assert_int_equal(mr_wkv7_output_backward(test_runtime(), &s, &x, &g, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "bonus"));
    assert_int_equal(mr_wkv7_inputs_backward(test_runtime(), &s, &in, &d, &a), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "dshare"));
    release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_reference_of_the_inputs_is_the_slope),
        cmocka_unit_test(test_keys_of_length_zero),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_reference_of_the_output_is_the_slope),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
