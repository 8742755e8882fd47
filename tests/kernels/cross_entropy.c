/* SPDX-License-Identifier: GPL-3.0-or-later
 * The loss against the reference: rows without a target, slices of rows, far logits; the reference against
 * differences. */
#include <math.h>

#include "kernel_test.h"
#include "ops/cross_entropy.h"
#include "ref/cross_entropy.h"

/* One slice of `rows` rows that begins at row `start` of a batch with two rows more at the end. */
struct slice {
    int start, rows, V;
    size_t n, all;
    int32_t *targets;
    double *logits, *row_loss, *dlogits;
    float l2wrap;
};

static struct slice make(int start, int rows, int V, double scale)
{
    struct slice c = {.start = start, .rows = rows, .V = V, .n = (size_t)rows * (size_t)V};
    c.all = (size_t)(start + rows + 2);
    test_case("cross_entropy: rows %d from %d, V %d, seed %llu", rows, start, V, (unsigned long long)test_seed());
    c.targets = random_integers(1, c.all, 0, V - 1);
    for (size_t i = 0; i < c.all; i += 3)
        c.targets[i] = -1;
    c.logits = random_array(2, c.n, scale), c.row_loss = zeros(c.all), c.dlogits = zeros(c.n);
    return c;
}

static void drop(struct slice *c)
{
    free(c->targets), free(c->logits), free(c->row_loss), free(c->dlogits);
}

static void check(struct slice c, double inv_count)
{
    mr_runtime *rt = test_runtime();
    mr_ref_cross_entropy(c.logits, c.targets + c.start, c.row_loss + c.start, c.dlogits, c.rows, c.V, inv_count,
                         c.l2wrap);
    mr_tensor logits = upload(c.logits, c.n), targets = upload_i32(c.targets, c.all), row_loss = zeroed(c.all);
    must(mr_cross_entropy(rt, &logits, &targets, &row_loss, c.start, c.rows, c.V, (float)inv_count, false, c.l2wrap));
    expect_near("row_loss", &row_loss, c.row_loss, c.all, 1e-5); /* the other rows stay 0 */
    expect_near("logits after a forward", &logits, c.logits, c.n, 0);
    must(mr_cross_entropy(rt, &logits, &targets, &row_loss, c.start, c.rows, c.V, (float)inv_count, true, c.l2wrap));
    expect_near("row_loss", &row_loss, c.row_loss, c.all, 1e-5);
    expect_near("dlogits", &logits, c.dlogits, c.n, 1e-5);
    release(&logits), release(&targets), release(&row_loss);
}

/* Strong, so that it shows; with two equal largest logits in the first row that counts. */
static void test_largest_logit_is_pulled_to_zero(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 17, 64, 1025, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct slice c = make(1, 5, sizes[i], 2);
        c.l2wrap = 0.25f;
        c.logits[0] = c.logits[sizes[i] / 2] = 30;
        check(c, 1.0 / c.rows);
        drop(&c);
    }
}

static void test_random_shapes(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 16, 17, 65, 1024, 1025, 8192, 50304};
    for (int round = 0; round < 16 + WIDTHS; round++) {
        uint64_t seed = 10 * (uint64_t)round;
        int V = round < 9 ? sizes[round] : round < 16 ? random_int(seed, 1, 5000) : round - 15;
        int most = V > 9000 || round >= 16 ? 3 : 40;
        struct slice c = make(random_int(seed + 1, 0, 4), random_int(seed + 2, 1, most), V, 2);
        check(c, 1.0 / c.rows);
        drop(&c);
    }
}

static void test_far_logits(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        struct slice c = make(1, 5, 3000, 30);
        for (size_t i = 0; i < c.n; i++) /* the largest first, last, shifted by much */
            c.logits[i] = (float)(c.logits[i] + (round == 0 ? 1e4 : round == 1 ? -1e4 : 0));
        for (int row = 0; row < c.rows && round > 1; row++)
            c.logits[row * c.V + (round == 2 ? 0 : c.V - 1)] = 500;
        check(c, 0.25);
        drop(&c);
    }
}

static void test_masked_logits_get_no_gradient(void **state)
{
    (void)state;
    struct slice c = make(0, 4, 2100, 1);
    for (int row = 0; row < c.rows; row++)
        for (int i = 0; i < 1500; i++) /* the first chunks of a row hold nothing else */
            c.logits[row * c.V + i] = -INFINITY;
    for (int row = 0; row < c.rows; row++)
        c.targets[row] = 2000;
    mr_tensor logits = upload(c.logits, c.n), targets = upload_i32(c.targets, c.all), row_loss = zeroed(c.all);
    mr_ref_cross_entropy(c.logits, c.targets, c.row_loss, c.dlogits, c.rows, c.V, 0.5, 0);
    must(mr_cross_entropy(test_runtime(), &logits, &targets, &row_loss, 0, c.rows, c.V, 0.5f, true, 0));
    expect_near("row_loss", &row_loss, c.row_loss, 4, 1e-5);
    expect_near("dlogits", &logits, c.dlogits, c.n, 1e-5);
    release(&logits), release(&targets), release(&row_loss);
    drop(&c);
}

static void test_no_target_at_all_is_0(void **state)
{
    (void)state;
    struct slice c = make(0, 3, 50, 1);
    for (size_t i = 0; i < c.all; i++)
        c.targets[i] = -1;
    check(c, 0);
    drop(&c);
}

static void test_mean_loss(void **state)
{
    (void)state;
    static const int sizes[] = {1, 15, 64, 777, 20000};
    for (int k = 0; k < 5; k++) {
        test_case("mean_loss of %d", sizes[k]);
        double *losses = random_uniform(1, (size_t)sizes[k], 0, 10);
        double want = mr_ref_mean_loss(losses, sizes[k], 0.125);
        mr_tensor row_loss = upload(losses, (size_t)sizes[k]), loss = empty(1);
        must(mr_mean_loss(test_runtime(), &row_loss, &loss, sizes[k], 0.125f));
        expect_near("loss", &loss, &want, 1, 1e-5);
        release(&row_loss), release(&loss);
        free(losses);
    }
}

static double loss(void *context)
{
    struct slice *c = context;
    double row_loss[4];
    mr_ref_cross_entropy(c->logits, c->targets, row_loss, NULL, 4, c->V, 0.25, 0);
    return mr_ref_mean_loss(row_loss, 4, 0.25);
}

static void test_reference_gradient(void **state)
{
    (void)state;
    struct slice c = make(0, 4, 9, 1);
    mr_ref_cross_entropy(c.logits, c.targets, c.row_loss, c.dlogits, 4, 9, 0.25, 0);
    expect_gradient("dlogits", loss, &c, c.logits, c.dlogits, c.n, 1e-6);
    drop(&c);
}

static void test_wrong_sizes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    int32_t ids[4] = {0};
    mr_tensor logits = zeroed(40), targets = upload_i32(ids, 4), row_loss = zeroed(4);
    assert_int_equal(mr_cross_entropy(rt, &logits, &targets, &row_loss, 0, 4, 11, 1, true, 0), MR_EINVAL);
    assert_int_equal(mr_cross_entropy(rt, &logits, &targets, &row_loss, 1, 4, 10, 1, true, 0), MR_EINVAL);
    assert_int_equal(mr_cross_entropy(rt, &logits, &row_loss, &row_loss, 0, 4, 10, 1, true, 0), MR_EINVAL);
    assert_int_equal(mr_mean_loss(rt, &row_loss, NULL, 4, 1), MR_EINVAL);
    release(&logits), release(&targets), release(&row_loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_logit_is_pulled_to_zero),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_far_logits),
        cmocka_unit_test(test_masked_logits_get_no_gradient),
        cmocka_unit_test(test_no_target_at_all_is_0),
        cmocka_unit_test(test_mean_loss),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
