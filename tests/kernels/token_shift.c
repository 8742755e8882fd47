/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token shift against the reference for every number of mixtures, in one piece and in chunks. */
#include <string.h>

#include "kernel_test.h"
#include "ops/token_shift.h"
#include "ref/token_shift.h"

enum { RANDOM = 14, ROUNDS = RANDOM + WIDTHS };

static struct mr_token_shift random_shape(int round)
{
    uint64_t seed = 10 * (uint64_t)round;
    struct mr_token_shift s = {random_int(seed, 1, 5), random_int(seed + 1, 1, 60), random_int(seed + 2, 1, 150),
                               1 + round % 6, false};
    if (round >= RANDOM)
        s = (struct mr_token_shift){2, 3, round - RANDOM + 1, 1 + round % 6, false};
    if (round == 0)
        s.batch = s.time = s.dim = 1;
    if (round == 1)
        s.time = 1;
    if (round == 2)
        s.dim = 768;
    test_case("token_shift: batch %d time %d dim %d count %d, seed %llu", s.batch, s.time, s.dim, s.count,
              (unsigned long long)test_seed());
    return s;
}

/* keeps: maa are the shares of x, so those of prev are 1 - maa. */
static void check_forward(bool keeps)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct mr_token_shift s = random_shape(round);
        s.keeps = keeps;
        size_t C = (size_t)s.dim, n = (size_t)(s.batch * s.time) * C, in_state = (size_t)s.batch * C;
        double *x = random_array(1, n, 1), *previous = random_array(2, in_state, 1), *maa[6], *want = zeros(n);
        mr_tensor tx = upload(x, n), tp = upload(previous, in_state), tmaa[6], tout[6];
        const mr_tensor *pmaa[6], *pout[6];
        for (int k = 0; k < s.count; k++) {
            maa[k] = random_uniform(10 + (uint64_t)k, C, -0.2, 1.2);
            tmaa[k] = upload(maa[k], C), tout[k] = empty(n);
            pmaa[k] = &tmaa[k], pout[k] = &tout[k];
            for (size_t c = 0; keeps && c < C; c++)
                maa[k][c] = 1 - maa[k][c];
        }
        for (int with = 0; with < 2; with++) {
            must(mr_token_shift_forward(test_runtime(), &s, &tx, with ? &tp : NULL, pmaa, pout));
            for (int k = 0; k < s.count; k++) {
                mr_ref_token_shift_forward(x, with ? previous : NULL, maa[k], want, s.batch, s.time, s.dim);
                expect_near(with ? "out from a state" : "out from zeros", &tout[k], want, n, 1e-5);
            }
        }
        for (int k = 0; k < s.count; k++)
            release(&tmaa[k]), release(&tout[k]), free(maa[k]);
        release(&tx), release(&tp);
        free(x), free(previous), free(want);
    }
}

static void test_forward(void **state)
{
    (void)state;
    check_forward(false);
}

static void test_forward_by_the_share_of_x(void **state)
{
    (void)state;
    check_forward(true);
}

/* keeps: as in check_forward; the gradient of a share of x is that of the share of prev the other way round. */
static void check_backward(bool keeps)
{
    mr_runtime *rt = test_runtime();
    for (int round = 0; round < ROUNDS; round++) {
        struct mr_token_shift s = random_shape(round);
        bool accumulate = round % 2;
        s.keeps = keeps;
        size_t C = (size_t)s.dim, n = (size_t)(s.batch * s.time) * C;
        double *x = random_array(1, n, 1), *dx = accumulate ? random_array(2, n, 1) : zeros(n), *dmaa[6];
        mr_tensor tx = upload(x, n), tdx = accumulate ? upload(dx, n) : empty(n), tmaa[6], tdout[6], tdmaa[6];
        mr_tensor scratch = empty(mr_token_shift_backward_scratch(rt, &s));
        const mr_tensor *pmaa[6], *pdout[6], *pdmaa[6];
        for (int k = 0; k < s.count; k++) {
            double *maa = random_uniform(10 + (uint64_t)k, C, -0.2, 1.2), *dout = random_array(20 + (uint64_t)k, n, 1);
            dmaa[k] = random_array(30 + (uint64_t)k, C, 1);
            tmaa[k] = upload(maa, C), tdout[k] = upload(dout, n), tdmaa[k] = upload(dmaa[k], C);
            pmaa[k] = &tmaa[k], pdout[k] = &tdout[k], pdmaa[k] = &tdmaa[k];
            for (size_t c = 0; keeps && c < C; c++) {
                maa[c] = 1 - maa[c];
                dmaa[k][c] = -dmaa[k][c];
            }
            mr_ref_token_shift_backward(x, maa, dout, dx, dmaa[k], s.batch, s.time, s.dim);
            for (size_t c = 0; keeps && c < C; c++)
                dmaa[k][c] = -dmaa[k][c];
            free(maa), free(dout);
        }
        must(mr_token_shift_backward(rt, &s, &tx, pmaa, pdout, &tdx, accumulate, pdmaa, &scratch));
        expect_near("dx", &tdx, dx, n, 1e-5);
        for (int k = 0; k < s.count; k++) {
            expect_near("dmaa", &tdmaa[k], dmaa[k], C, 1e-5);
            release(&tmaa[k]), release(&tdout[k]), release(&tdmaa[k]), free(dmaa[k]);
        }
        release(&tx), release(&tdx), release(&scratch);
        free(x), free(dx);
    }
}

static void test_backward(void **state)
{
    (void)state;
    check_backward(false);
}

static void test_backward_by_the_share_of_x(void **state)
{
    (void)state;
    check_backward(true);
}

static void test_chunks_give_the_whole(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    struct mr_token_shift whole = {1, 13, 37, 2, false}, part = {1, 5, 37, 2, false}, rest = {1, 8, 37, 2, false};
    test_case("token_shift in chunks of 5 and 8");
    size_t C = 37, n = 13 * C;
    double *x = random_array(1, n, 1), *maa = random_uniform(2, C, 0, 1), *want = zeros(n);
    mr_tensor tx = upload(x, n), tmaa = upload(maa, C), previous = zeroed(C), out = empty(n), other = empty(n);
    mr_tensor head = upload(x, 5 * C), tail = upload(x + 5 * C, 8 * C);
    const mr_tensor *pmaa[] = {&tmaa, &tmaa}, *pout[] = {&out, &other};
    mr_ref_token_shift_forward(x, NULL, maa, want, 1, 13, 37);
    must(mr_token_shift_forward(rt, &whole, &tx, &previous, pmaa, pout));
    expect_near("whole", &out, want, n, 1e-5);
    must(mr_token_shift_forward(rt, &part, &head, &previous, pmaa, pout));
    expect_near("first", &out, want, 5 * C, 1e-5);
    must(mr_token_shift_state(rt, &part, &head, &previous));
    must(mr_token_shift_forward(rt, &rest, &tail, &previous, pmaa, pout));
    expect_near("second", &out, want + 5 * C, 8 * C, 1e-5);
    release(&tx), release(&tmaa), release(&previous), release(&out), release(&other), release(&head), release(&tail);
    free(x), free(maa), free(want);
}

static void test_state_is_the_last_row_of_each_batch_item(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        struct mr_token_shift s = random_shape(round);
        size_t C = (size_t)s.dim, n = (size_t)(s.batch * s.time) * C;
        double *x = random_array(1, n, 1), *want = zeros((size_t)s.batch * C);
        for (int b = 0; b < s.batch; b++)
            memcpy(want + b * s.dim, x + ((b + 1) * s.time - 1) * s.dim, C * sizeof *x);
        mr_tensor tx = upload(x, n), previous = empty((size_t)s.batch * C);
        must(mr_token_shift_state(test_runtime(), &s, &tx, &previous));
        expect_near("previous", &previous, want, (size_t)s.batch * C, 0);
        release(&tx), release(&previous);
        free(x), free(want);
    }
}

struct gradient_case {
    double *x, *maa, *out;
    const double *dout;
};

static double loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_token_shift_forward(c->x, NULL, c->maa, c->out, 2, 4, 3);
    for (int i = 0; i < 24; i++)
        sum += c->out[i] * c->dout[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    test_case("token_shift reference");
    double *dx = zeros(24), *dmaa = zeros(3), *dout = random_array(3, 24, 1);
    struct gradient_case c = {random_array(1, 24, 1), random_array(2, 3, 1), zeros(24), dout};
    mr_ref_token_shift_backward(c.x, c.maa, dout, dx, dmaa, 2, 4, 3);
    expect_gradient("dx", loss, &c, c.x, dx, 24, 1e-6);
    expect_gradient("dmaa", loss, &c, c.maa, dmaa, 3, 1e-6);
    free(dx), free(dmaa), free(dout), free(c.x), free(c.maa), free(c.out);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor x = zeroed(60), maa = zeroed(5);
    const mr_tensor *m[] = {&maa, &maa, &maa, &maa, &maa, &maa, &maa}, *o[] = {&x, &x, &x, &x, &x, &x, &x};
    struct mr_token_shift many = {3, 4, 5, 7, false}, long_one = {3, 5, 5, 1, false};
    assert_int_equal(mr_token_shift_forward(rt, &many, &x, NULL, m, o), MR_EINVAL);
    assert_int_equal(mr_token_shift_forward(rt, &long_one, &x, NULL, m, o), MR_EINVAL);
    assert_int_equal(mr_token_shift_backward(rt, &long_one, &x, m, o, &x, false, m, &x), MR_EINVAL);
    release(&x), release(&maa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_forward_by_the_share_of_x),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_backward_by_the_share_of_x),
        cmocka_unit_test(test_chunks_give_the_whole),
        cmocka_unit_test(test_state_is_the_last_row_of_each_batch_item),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
