/* SPDX-License-Identifier: GPL-3.0-or-later
 * GroupNorm over heads against the reference, and the reference against differences. */
#include "kernel_test.h"
#include "ops/group_norm.h"
#include "ref/group_norm.h"

static const float EPS = 64e-5f;

/* One case: everything that forward and backward read and write, on the host. */
struct norm {
    int rows, heads, width;
    size_t n, dim, statistics;
    double *x, *weight, *shift, *y, *mean, *rstd, *dy, *dx, *dweight, *dshift;
};

static struct norm make(int rows, int heads, int width)
{
    struct norm c = {.rows = rows, .heads = heads, .width = width, .dim = (size_t)heads * (size_t)width};
    c.n = (size_t)rows * c.dim, c.statistics = (size_t)rows * (size_t)heads;
    test_case("group_norm: rows %d heads %d width %d, seed %llu", rows, heads, width, (unsigned long long)test_seed());
    c.x = random_array(1, c.n, 1), c.y = zeros(c.n), c.dy = random_array(2, c.n, 1), c.dx = zeros(c.n);
    c.weight = random_array(3, c.dim, 1), c.shift = random_array(4, c.dim, 1);
    c.dweight = random_array(5, c.dim, 1), c.dshift = random_array(6, c.dim, 1);
    c.mean = zeros(c.statistics), c.rstd = zeros(c.statistics);
    return c;
}

enum { RANDOM = 14 };

static int rounds(void)
{
    return test_all_widths() ? RANDOM + WIDTHS : RANDOM;
}

static struct norm make_random(int round)
{
    static const int widths[] = {1, 16, 17, 32, 64, 96};
    uint64_t seed = 10 * (uint64_t)round;
    if (round >= RANDOM)
        return make(3, 2, round - RANDOM + 1);
    int width = round < 6 ? widths[round] : random_int(seed, 5, 130);
    return make(round == 1 ? 1 : random_int(seed + 1, 1, 80), round == 2 ? 1 : random_int(seed + 2, 1, 9), width);
}

static void drop(struct norm *c)
{
    free(c->x), free(c->weight), free(c->shift), free(c->y), free(c->mean), free(c->rstd);
    free(c->dy), free(c->dx), free(c->dweight), free(c->dshift);
}

static void forward(struct norm *c)
{
    mr_ref_group_norm_forward(c->x, c->weight, c->shift, c->y, c->mean, c->rstd, c->rows, c->heads, c->width, EPS);
}

static void backward(struct norm *c)
{
    mr_ref_group_norm_backward(c->x, c->weight, c->mean, c->rstd, c->dy, c->dx, c->dweight, c->dshift, c->rows,
                               c->heads, c->width);
}

static void test_forward(void **state)
{
    (void)state;
    for (int round = 0; round < rounds(); round++) {
        struct norm c = make_random(round);
        mr_tensor x = upload(c.x, c.n), weight = upload(c.weight, c.dim), bias = upload(c.shift, c.dim);
        mr_tensor y = empty(c.n), mean = empty(c.statistics), rstd = empty(c.statistics);
        must(
            mr_group_norm_forward(test_runtime(), &x, &weight, &bias, &y, &mean, &rstd, c.rows, c.heads, c.width, EPS));
        forward(&c);
        expect_near("y", &y, c.y, c.n, 1e-5);
        expect_near("mean", &mean, c.mean, c.statistics, 1e-5);
        expect_near("rstd", &rstd, c.rstd, c.statistics, 1e-5);
        release(&x), release(&weight), release(&bias), release(&y), release(&mean), release(&rstd);
        drop(&c);
    }
}

static void test_backward(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    for (int round = 0; round < rounds(); round++) {
        struct norm c = make_random(round);
        bool accumulate = round % 2;
        double *before = random_array(7, c.n, 1);
        forward(&c);
        mr_tensor x = upload(c.x, c.n), weight = upload(c.weight, c.dim), dy = upload(c.dy, c.n);
        mr_tensor mean = upload(c.mean, c.statistics), rstd = upload(c.rstd, c.statistics);
        mr_tensor dx = accumulate ? upload(before, c.n) : empty(c.n);
        mr_tensor dweight = upload(c.dweight, c.dim), dbias = upload(c.dshift, c.dim);
        mr_tensor scratch = empty(mr_group_norm_backward_scratch(rt, c.rows, c.heads, c.width));
        const struct mr_group_norm_gradients g = {&dy, &dx, &dweight, &dbias, accumulate};
        must(mr_group_norm_backward(rt, &x, &weight, &mean, &rstd, &g, &scratch, c.rows, c.heads, c.width));
        backward(&c);
        for (size_t i = 0; accumulate && i < c.n; i++)
            c.dx[i] += before[i];
        if (c.width > 1) /* of one column the gradient is 0 but for rounding */
            expect_near("dx", &dx, c.dx, c.n, 1e-5);
        expect_near("dweight", &dweight, c.dweight, c.dim, 1e-5);
        expect_near("dbias", &dbias, c.dshift, c.dim, 1e-5);
        release(&x), release(&weight), release(&dy), release(&mean), release(&rstd), release(&dx);
        release(&dweight), release(&dbias), release(&scratch);
        free(before);
        drop(&c);
    }
}

static double loss(void *context)
{
    struct norm *c = context;
    double sum = 0;
    forward(c);
    for (size_t i = 0; i < c->n; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    struct norm c = make(3, 2, 5);
    for (size_t i = 0; i < c.dim; i++)
        c.dweight[i] = c.dshift[i] = 0;
    forward(&c);
    backward(&c);
    expect_gradient("dx", loss, &c, c.x, c.dx, c.n, 1e-6);
    expect_gradient("dweight", loss, &c, c.weight, c.dweight, c.dim, 1e-6);
    expect_gradient("dbias", loss, &c, c.shift, c.dshift, c.dim, 1e-6);
    drop(&c);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor x = zeroed(40), y = zeroed(40), w = zeroed(20), s = zeroed(8), small = zeroed(1);
    assert_int_equal(mr_group_norm_forward(rt, &x, &w, &w, &y, &s, &small, 2, 4, 5, EPS), MR_EINVAL);
    assert_int_equal(mr_group_norm_forward(rt, &x, &w, &w, &y, &s, &s, 2, 0, 5, EPS), MR_EINVAL);
    assert_int_equal(mr_group_norm_forward(rt, &x, &w, NULL, &y, &s, &s, 2, 4, 5, EPS), MR_EINVAL);
    const struct mr_group_norm_gradients g = {.dy = &x, .dx = &y, .dweight = &w, .dbias = &w};
    assert_int_equal(mr_group_norm_backward(rt, &x, &w, &s, &s, &g, &small, 2, 4, 5), MR_EINVAL);
    release(&x), release(&y), release(&w), release(&s), release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
