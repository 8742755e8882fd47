/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products with weights in every format against the reference, which gets the widened weights. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ref/gemm.h"
#include "rt/gemm.h"

enum extra { BETA = 1, BIAS = 2, APART = 4, LEFT = 8 /* A transposed */ };

static size_t span(int rows, int columns, int ld)
{
    return (size_t)(rows - 1) * (size_t)ld + (size_t)columns;
}

/* Weights of `before` rows lie before those of the product, and `after` behind. */
static void expect_with_weights(enum mr_element format, int m, int n, int k, int extra, int before, int after)
{
    test_case("gemm with %s, %d x %d x %d, extra %d, between %d and %d rows, seed %llu", mr_element_name(format), m, n,
              k, extra, before, after, (unsigned long long)test_seed());
    int apart = extra & APART ? 1 : 0, lda = (extra & LEFT ? m : k) + 3 * apart, ldc = n + 2 * apart;
    struct mr_gemm g = {.m = m,
                        .n = n,
                        .k = k,
                        .trans_a = extra & LEFT,
                        .trans_b = true,
                        .beta = extra & BETA ? 1 : 0,
                        .lda = lda,
                        .ldc = ldc,
                        .offset_a = apart ? 7 : 0,
                        .offset_b = (size_t)before * (size_t)k,
                        .offset_c = apart ? 13 : 0};
    size_t all = (size_t)(before + n + after), n_a = g.offset_a + span(extra & LEFT ? k : m, extra & LEFT ? m : k, lda);
    size_t n_c = g.offset_c + span(m, n, ldc);
    double *a = random_array(1, n_a, 1), *b = random_array(2, all * (size_t)k, 1), *c = random_array(3, n_c, 1),
           *bias = random_array(4, (size_t)n, 1);
    for (int i = 0; i < m && !(extra & BETA); i++)
        for (int j = 0; j < n; j++)
            c[g.offset_c + (size_t)i * (size_t)ldc + (size_t)j] = NAN;
    mr_tensor ta = upload(a, n_a), tb = upload_weights(format, b, all, (size_t)k), tc = upload(c, n_c);
    mr_tensor tbias = upload(bias, (size_t)n);
    if (extra & BIAS)
        g.bias = &tbias;
    must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
    const struct mr_ref_gemm want = {m, n, k, extra & LEFT, true, (double)g.beta, (size_t)lda, (size_t)k, (size_t)ldc};
    mr_ref_gemm(a + g.offset_a, b + g.offset_b, c + g.offset_c, extra & BIAS ? bias : NULL, &want);
    expect_near("C and what lies between", &tc, c, n_c, 1e-6 + 3e-8 * sqrt(k));
    release(&ta), release(&tb), release(&tc), release(&tbias);
    free(a), free(b), free(c), free(bias);
}

/* C [m,n] = A [m,k] W with W [k + after, n] as it is stored: gradients of a linear layer's input */
static void expect_untransposed(enum mr_element format, int m, int n, int k, int extra, int after)
{
    test_case("gemm with %s as stored, %d x %d x %d, extra %d, %d more rows, seed %llu", mr_element_name(format), m, n,
              k, extra, after, (unsigned long long)test_seed());
    int lda = k + (extra & APART ? 3 : 0);
    struct mr_gemm g = {.m = m, .n = n, .k = k, .lda = lda, .beta = extra & BETA ? 1 : 0};
    size_t n_a = span(m, k, lda), all = (size_t)(k + after), n_c = (size_t)m * (size_t)n;
    double *a = random_array(1, n_a, 1), *b = random_array(2, all * (size_t)n, 1), *c = random_array(3, n_c, 1);
    mr_tensor ta = upload(a, n_a), tb = upload_weights(format, b, all, (size_t)n), tc = upload(c, n_c);
    must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
    const struct mr_ref_gemm want = {m, n, k, false, false, (double)g.beta, (size_t)lda, (size_t)n, (size_t)n};
    mr_ref_gemm(a, b, c, NULL, &want);
    expect_near("C", &tc, c, n_c, 1e-6 + 3e-8 * sqrt(k));
    release(&ta), release(&tb), release(&tc);
    free(a), free(b), free(c);
}

/* Sizes of rows that the format allows */
static int length(enum mr_element format, int k)
{
    int block = (int)mr_element_block(format);
    return (k + block - 1) / block * block;
}

static void test_few_rows(void **state)
{
    (void)state;
    static const int rows[] = {1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 64};
    static const int sizes[][2] = {{1, 1}, {16, 32}, {15, 7}, {65, 96}, {130, 67}, {300, 160}};
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++)
        for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
            for (size_t i = r % 2; i < sizeof sizes / sizeof sizes[0]; i += 2)
                expect_with_weights(format, rows[r], sizes[i][0], length(format, sizes[i][1]), (int)(r + i) % 8, 0, 0);
}

static void test_many_rows(void **state)
{
    (void)state;
    static const int sizes[][3] = {{65, 1, 32}, {65, 130, 67}, {70, 33, 160}, {100, 90, 700}, {300, 200, 96}};
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            expect_with_weights(format, sizes[i][0], sizes[i][1], length(format, sizes[i][2]), (int)(i + format) % 8, 0,
                                0);
}

/* The sum is cut, the parts are added in order. */
static void test_deep_products(void **state)
{
    (void)state;
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++)
        expect_with_weights(format, 66, 20, length(format, 2049), format % 4, 0, 0);
}

static void test_transposed_activations(void **state)
{
    (void)state;
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        expect_with_weights(format, 5, 70, 64, LEFT | BIAS, 0, 0);
        expect_with_weights(format, 80, 30, 96, LEFT | APART | BETA, 0, 0);
    }
}

/* A slice of the rows, as of a vocabulary */
static void test_part_of_the_rows(void **state)
{
    (void)state;
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++)
        for (int m = 3; m < 100; m += 67) {
            expect_with_weights(format, m, 33, 64, APART, MR_ROWS_TOGETHER, 10);
            expect_with_weights(format, m, 37, 64, BIAS, MR_ROWS_TOGETHER, 0);
        }
}

/* A row's bits are those of the row alone. */
static void test_rows_do_not_depend_on_each_other(void **state)
{
    (void)state;
    enum { MOST = MR_GEMM_ROWS, N = 77, K = 160 };
    static const int counts[] = {1, 2, 3, 7, 8, 15, 16, 40, MOST};
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        test_case("rows with %s alone and together", mr_element_name(format));
        double *a = random_array(1, MOST * K, 1), *b = random_array(2, N * K, 1), *alone[MOST];
        mr_tensor ta = upload(a, MOST * K), tb = upload_weights(format, b, N, K);
        for (int row = 0; row < MOST; row++) {
            mr_tensor tc = empty(N);
            struct mr_gemm g = {.m = 1, .n = N, .k = K, .trans_b = true, .offset_a = (size_t)row * K};
            must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
            alone[row] = download(&tc, N);
            release(&tc);
        }
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            size_t count = (size_t)counts[i];
            mr_tensor tc = empty(count * N);
            struct mr_gemm g = {.m = counts[i], .n = N, .k = K, .trans_b = true};
            must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
            double *got = download(&tc, count * N);
            for (size_t row = 0; row < count; row++)
                assert_memory_equal(got + row * N, alone[row], N * sizeof *got);
            release(&tc);
            free(got);
        }
        for (int row = 0; row < MOST; row++)
            free(alone[row]);
        release(&ta), release(&tb);
        free(a), free(b);
    }
}

static void test_weights_as_they_are_stored(void **state)
{
    (void)state;
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        expect_untransposed(format, 5, 64, 300, APART, 0);
        expect_untransposed(format, 70, 96, 33, BETA, 10);
        expect_untransposed(format, 3, 32 * 1024, 300, APART | BETA, 0); /* more than is widened at a time */
    }
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    test_case("gemm with weights, wrong sizes");
    mr_runtime *rt = test_runtime();
    double *w = random_array(1, 600 * 64, 1);
    mr_tensor tw = upload_weights(MR_Q4_0, w, 600, 64), t = zeroed(600 * 64);
    const struct mr_gemm right = {.m = 3, .n = 10, .k = 64, .trans_b = true};
    must(mr_gemm(rt, &right, &t, &tw, &t));
    struct mr_gemm g[] = {right, right, right, right, right, right};
    g[0].trans_b = false;
    g[1].batch = 2;
    g[2].ldb = 65;
    g[3].offset_b = 64;
    g[4].n = 601;
    g[5].k = 60, g[5].ldb = 60;
    for (size_t i = 0; i < sizeof g / sizeof g[0]; i++)
        assert_int_equal(mr_gemm(rt, &g[i], &t, &tw, &t), MR_EINVAL);
    assert_int_equal(mr_gemm(rt, &right, &tw, &tw, &t), MR_EINVAL);
    assert_int_equal(mr_gemm(rt, &right, &t, &tw, &tw), MR_EINVAL);
    release(&t), release(&tw);
    free(w);
}

static void test_scratch_is_told(void **state)
{
    (void)state;
    mr_runtime *rt;
    must(mr_runtime_open(&rt, NULL));
    mr_tensor a, b, c;
    must(mr_tensor_alloc(rt, &a, MR_F32, 70 * 4096));
    must(mr_tensor_alloc(rt, &b, MR_Q8_0, 24 * 4096));
    must(mr_tensor_alloc(rt, &c, MR_F32, 70 * 24));
    must(mr_zero(rt, &a)), must(mr_zero(rt, &b));
    struct mr_gemm g = {.m = 70, .n = 24, .k = 4096, .trans_b = true, .format = MR_Q8_0};
    size_t told, before, after;
    must(mr_gemm_scratch(rt, &g, &told));
    mr_device_bytes(rt, &before, NULL);
    must(mr_gemm(rt, &g, &a, &b, &c));
    mr_device_bytes(rt, &after, NULL);
    assert_int_equal(after - before, told);
    mr_tensor_free(rt, &a), mr_tensor_free(rt, &b), mr_tensor_free(rt, &c);
    mr_runtime_close(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_deep_products),
        cmocka_unit_test(test_transposed_activations),
        cmocka_unit_test(test_part_of_the_rows),
        cmocka_unit_test(test_rows_do_not_depend_on_each_other),
        cmocka_unit_test(test_weights_as_they_are_stored),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_scratch_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
