/* SPDX-License-Identifier: GPL-3.0-or-later
 * LayerNorm against the reference, and the reference against differences. */
#include "kernel_test.h"
#include "ops/layer_norm.h"
#include "ref/layer_norm.h"

static const float EPS = 1e-5f;

/* One case: everything that forward and backward read and write, on the host. */
struct norm {
    int rows, dim;
    bool bias;
    size_t n;
    double *x, *weight, *shift, *y, *mean, *rstd, *dy, *dx, *dweight, *dshift;
};

static struct norm make(int rows, int dim, bool bias, double offset)
{
    struct norm c = {.rows = rows, .dim = dim, .bias = bias, .n = (size_t)rows * (size_t)dim};
    test_case("layer_norm: rows %d dim %d bias %d offset %g, seed %llu", rows, dim, bias, offset,
              (unsigned long long)test_seed());
    c.x = random_array(1, c.n, 1), c.y = zeros(c.n), c.dy = random_array(2, c.n, 1), c.dx = zeros(c.n);
    for (size_t i = 0; i < c.n; i++)
        c.x[i] = (float)(c.x[i] + offset);
    c.weight = random_array(3, (size_t)dim, 1), c.shift = random_array(4, (size_t)dim, 1);
    c.dweight = random_array(5, (size_t)dim, 1), c.dshift = random_array(6, (size_t)dim, 1);
    c.mean = zeros((size_t)rows), c.rstd = zeros((size_t)rows);
    return c;
}

enum { RANDOM = 12, ROUNDS = RANDOM + WIDTHS };

static struct norm make_random(int round)
{
    static const int dims[] = {1, 15, 16, 17, 128, 768};
    uint64_t seed = 10 * (uint64_t)round;
    if (round >= RANDOM)
        return make(2, round - RANDOM + 1, round % 2, 0);
    int dim = round < 6 ? dims[round] : random_int(seed, 5, 400);
    return make(round == 1 ? 1 : random_int(seed + 1, 1, 150), dim, round % 3 != 0, round % 2 ? 3 : 0);
}

static void drop(struct norm *c)
{
    free(c->x), free(c->weight), free(c->shift), free(c->y), free(c->mean), free(c->rstd);
    free(c->dy), free(c->dx), free(c->dweight), free(c->dshift);
}

static void forward(struct norm *c)
{
    mr_ref_layer_norm_forward(c->x, c->weight, c->bias ? c->shift : NULL, c->y, c->mean, c->rstd, c->rows, c->dim, EPS);
}

static void backward(struct norm *c)
{
    mr_ref_layer_norm_backward(c->x, c->weight, c->mean, c->rstd, c->dy, c->dx, c->dweight, c->bias ? c->dshift : NULL,
                               c->rows, c->dim);
}

static void test_forward(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct norm c = make_random(round);
        size_t rows = (size_t)c.rows, dim = (size_t)c.dim;
        mr_tensor x = upload(c.x, c.n), weight = upload(c.weight, dim), bias = upload(c.shift, dim), y = empty(c.n);
        mr_tensor mean = empty(rows), rstd = empty(rows);
        must(mr_layer_norm_forward(test_runtime(), &x, &weight, c.bias ? &bias : NULL, &y, &mean, &rstd, c.rows, c.dim,
                                   EPS));
        forward(&c);
        expect_near("y", &y, c.y, c.n, 1e-5);
        expect_near("mean", &mean, c.mean, rows, 1e-5);
        expect_near("rstd", &rstd, c.rstd, rows, 1e-5);
        release(&x), release(&weight), release(&bias), release(&y), release(&mean), release(&rstd);
        drop(&c);
    }
}

static void test_backward(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    for (int round = 0; round < ROUNDS; round++) {
        struct norm c = make_random(round);
        size_t rows = (size_t)c.rows, dim = (size_t)c.dim;
        bool accumulate = round % 2;
        double *before = random_array(7, c.n, 1);
        forward(&c);
        mr_tensor x = upload(c.x, c.n), weight = upload(c.weight, dim), dy = upload(c.dy, c.n);
        mr_tensor mean = upload(c.mean, rows), rstd = upload(c.rstd, rows);
        mr_tensor dx = accumulate ? upload(before, c.n) : empty(c.n);
        mr_tensor dweight = upload(c.dweight, dim), dbias = upload(c.dshift, dim);
        mr_tensor scratch = empty(mr_layer_norm_backward_scratch(rt, c.rows, c.dim));
        const struct mr_layer_norm_gradients g = {&dy, &dx, &dweight, c.bias ? &dbias : NULL, accumulate};
        must(mr_layer_norm_backward(rt, &x, &weight, &mean, &rstd, &g, &scratch, c.rows, c.dim));
        backward(&c);
        for (size_t i = 0; accumulate && i < c.n; i++)
            c.dx[i] += before[i];
        if (c.dim > 1) /* of one column the gradient is 0 but for rounding */
            expect_near("dx", &dx, c.dx, c.n, 1e-5);
        expect_near("dweight", &dweight, c.dweight, dim, 1e-5);
        expect_near("dbias", &dbias, c.dshift, dim, 1e-5); /* without bias: as it was */
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
    struct norm c = make(3, 7, true, 1);
    for (int i = 0; i < c.dim; i++)
        c.dweight[i] = c.dshift[i] = 0;
    forward(&c);
    backward(&c);
    expect_gradient("dx", loss, &c, c.x, c.dx, c.n, 1e-6);
    expect_gradient("dweight", loss, &c, c.weight, c.dweight, 7, 1e-6);
    expect_gradient("dbias", loss, &c, c.shift, c.dshift, 7, 1e-6);
    drop(&c);
}

static void test_equal_numbers_give_the_bias(void **state)
{
    (void)state;
    struct norm c = make(5, 33, true, 0);
    for (size_t i = 0; i < c.n; i++)
        c.x[i] = 4;
    mr_tensor x = upload(c.x, c.n), weight = upload(c.weight, 33), bias = upload(c.shift, 33), y = empty(c.n);
    mr_tensor mean = empty(5), rstd = empty(5);
    must(mr_layer_norm_forward(test_runtime(), &x, &weight, &bias, &y, &mean, &rstd, 5, 33, EPS));
    forward(&c);
    expect_near("y", &y, c.y, c.n, 1e-5);
    release(&x), release(&weight), release(&bias), release(&y), release(&mean), release(&rstd);
    drop(&c);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor x = zeroed(40), w = zeroed(20), s = zeroed(2), small = zeroed(1);
    assert_int_equal(mr_layer_norm_forward(rt, &x, &s, NULL, &x, &s, &s, 2, 20, EPS), MR_EINVAL);
    assert_int_equal(mr_layer_norm_forward(rt, &x, &w, NULL, &x, &small, &s, 2, 20, EPS), MR_EINVAL);
    const struct mr_layer_norm_gradients g = {.dy = &x, .dx = &x, .dweight = &w};
    assert_int_equal(mr_layer_norm_backward(rt, &x, &w, &s, &s, &g, &small, 2, 20), MR_EINVAL);
    release(&x), release(&w), release(&s), release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_equal_numbers_give_the_bias),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
