/* SPDX-License-Identifier: GPL-3.0-or-later
 * Linear layers against the reference, and the reference against differences. */
#include "kernel_test.h"
#include "ops/linear.h"
#include "ref/linear.h"

struct shape {
    int rows, in, out, ld, at;
    size_t n_x, n_w, n_y;
};

static struct shape random_shape(int round)
{
    static const int fixed[][3] = {{1, 1, 1},    {1, 128, 384}, {96, 128, 65}, {96, 153, 128}, {96, 128, 153},
                                   {8, 33, 200}, {5, 128, 4},   {700, 40, 24}, {300, 24, 9}};
    enum { FIXED = sizeof fixed / sizeof fixed[0] };
    uint64_t seed = 10 * (uint64_t)round;
    struct shape s = {.rows = round < FIXED ? fixed[round][0] : random_int(seed, 1, 200),
                      .in = round < FIXED ? fixed[round][1] : random_int(seed + 1, 1, 200),
                      .out = round < FIXED ? fixed[round][2] : random_int(seed + 2, 1, 200)};
    s.at = round % 2 ? random_int(seed + 3, 0, 50) : 0;
    s.ld = s.out + s.at + (round % 2 ? random_int(seed + 4, 0, 50) : 0);
    s.n_x = (size_t)s.rows * (size_t)s.in;
    s.n_w = (size_t)s.out * (size_t)s.in;
    s.n_y = (size_t)s.rows * (size_t)s.ld;
    test_case("linear: rows %d in %d out %d ld %d offset %d, seed %llu", s.rows, s.in, s.out, s.ld, s.at,
              (unsigned long long)test_seed());
    return s;
}

static void test_forward(void **state)
{
    (void)state;
    for (int round = 0; round < 16; round++) {
        struct shape s = random_shape(round);
        double *x = random_array(1, s.n_x, 1), *w = random_array(2, s.n_w, 0.1), *b = random_array(3, (size_t)s.out, 1),
               *y = random_array(4, s.n_y, 1);
        mr_tensor tx = upload(x, s.n_x), tw = upload(w, s.n_w), tb = upload(b, (size_t)s.out), ty = upload(y, s.n_y);
        bool bias = round % 3 != 1;
        if (s.ld == s.out)
            must(mr_linear_forward(test_runtime(), &tx, &tw, bias ? &tb : NULL, &ty, s.rows, s.in, s.out));
        else
            must(mr_linear_forward_columns(test_runtime(), &tx, &tw, bias ? &tb : NULL, &ty, s.rows, s.in, s.out, s.ld,
                                           (size_t)s.at));
        mr_ref_linear_forward(x, w, bias ? b : NULL, y + s.at, s.rows, s.in, s.out, s.ld);
        expect_near("y and what lies beside it", &ty, y, s.n_y, 3e-6);
        release(&tx), release(&tw), release(&tb), release(&ty);
        free(x), free(w), free(b), free(y);
    }
}

static void test_backward_input(void **state)
{
    (void)state;
    for (int round = 0; round < 16; round++) {
        struct shape s = random_shape(round);
        double *dy = random_array(1, s.n_y, 1), *w = random_array(2, s.n_w, 0.1), *dx = zeros(s.n_x);
        double *sum = random_array(3, s.n_x, 1);
        mr_tensor tdy = upload(dy, s.n_y), tw = upload(w, s.n_w), tdx = empty(s.n_x), tsum = upload(sum, s.n_x);
        mr_ref_linear_backward_input(dy + s.at, w, dx, s.rows, s.in, s.out, s.ld);
        must(mr_linear_backward_input_columns(test_runtime(), &tdy, &tw, &tdx, s.rows, s.in, s.out, s.ld, (size_t)s.at,
                                              false));
        expect_near("dx", &tdx, dx, s.n_x, 3e-6);
        must(mr_linear_backward_input_columns(test_runtime(), &tdy, &tw, &tsum, s.rows, s.in, s.out, s.ld, (size_t)s.at,
                                              true));
        for (size_t i = 0; i < s.n_x; i++)
            sum[i] += dx[i];
        expect_near("dx, added", &tsum, sum, s.n_x, 3e-6);
        release(&tdy), release(&tw), release(&tdx), release(&tsum);
        free(dy), free(w), free(dx), free(sum);
    }
}

static void test_backward_weight(void **state)
{
    (void)state;
    for (int round = 0; round < 16; round++) {
        struct shape s = random_shape(round);
        double *x = random_array(1, s.n_x, 1), *dy = random_array(2, s.n_y, 1), *dw = random_array(3, s.n_w, 1),
               *db = random_array(4, (size_t)s.out, 1);
        size_t room = mr_linear_scratch(test_runtime(), s.rows, s.in, s.out);
        mr_tensor tx = upload(x, s.n_x), tdy = upload(dy, s.n_y), tdw = upload(dw, s.n_w),
                  tdb = upload(db, (size_t)s.out), scratch = empty(room);
        bool bias = round % 3 != 1;
        must(mr_linear_backward_weight_columns(test_runtime(), &tx, &tdy, &tdw, bias ? &tdb : NULL, &scratch, s.rows,
                                               s.in, s.out, s.ld, (size_t)s.at));
        mr_ref_linear_backward_weight(x, dy + s.at, dw, bias ? db : NULL, s.rows, s.in, s.out, s.ld);
        expect_near("dw, added", &tdw, dw, s.n_w, 5e-6);
        expect_near("dbias, added", &tdb, db, (size_t)s.out, 5e-6);
        release(&tx), release(&tdy), release(&tdw), release(&tdb), release(&scratch);
        free(x), free(dy), free(dw), free(db);
    }
}

struct gradient_case {
    int rows, in, out, ld;
    double *x, *w, *bias, *y;
    const double *dy;
};

static double loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_linear_forward(c->x, c->w, c->bias, c->y, c->rows, c->in, c->out, c->ld);
    for (int r = 0; r < c->rows; r++)
        for (int o = 0; o < c->out; o++)
            sum += c->y[r * c->ld + o] * c->dy[r * c->ld + o];
    return sum;
}

static void test_reference_gradients(void **state)
{
    (void)state;
    test_case("linear reference");
    struct gradient_case c = {.rows = 4, .in = 5, .out = 3, .ld = 6};
    double *dy = random_array(4, 24, 1), *dx = zeros(20), *dw = zeros(15), *db = zeros(3);
    c.x = random_array(1, 20, 1), c.w = random_array(2, 15, 1), c.bias = random_array(3, 3, 1), c.y = zeros(24),
    c.dy = dy;
    mr_ref_linear_backward_input(dy, c.w, dx, c.rows, c.in, c.out, c.ld);
    mr_ref_linear_backward_weight(c.x, dy, dw, db, c.rows, c.in, c.out, c.ld);
    expect_gradient("x", loss, &c, c.x, dx, 20, 1e-6);
    expect_gradient("w", loss, &c, c.w, dw, 15, 1e-6);
    expect_gradient("bias", loss, &c, c.bias, db, 3, 1e-6);
    free(dy), free(dx), free(dw), free(db), free(c.x), free(c.w), free(c.bias), free(c.y);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    test_case("linear, wrong sizes");
    mr_runtime *rt = test_runtime();
    mr_tensor ten = zeroed(10), six = zeroed(6);
    assert_int_equal(mr_linear_forward(rt, &ten, &six, NULL, &ten, 5, 2, 4), MR_EINVAL);
    assert_int_equal(mr_linear_forward(rt, &ten, &six, &ten, &six, 5, 2, 3), MR_EINVAL);
    assert_int_equal(mr_linear_forward(rt, NULL, &six, NULL, &ten, 2, 2, 2), MR_EINVAL);
    assert_int_equal(mr_linear_forward(rt, &ten, &six, NULL, &ten, 0, 2, 3), MR_EINVAL);
    assert_int_equal(mr_linear_forward_columns(rt, &ten, &six, NULL, &ten, 2, 2, 3, 2, 0), MR_EINVAL);
    assert_int_equal(mr_linear_forward_columns(rt, &ten, &six, NULL, &ten, 2, 2, 3, 5, 3), MR_EINVAL);
    assert_int_equal(mr_linear_backward_weight(rt, &ten, &ten, &six, &ten, &six, 5, 3, 2), MR_EINVAL);
    release(&ten), release(&six);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward_input),
        cmocka_unit_test(test_backward_weight),
        cmocka_unit_test(test_reference_gradients),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
