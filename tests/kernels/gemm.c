/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products of any size against the reference: tiles at the edges, transpositions, places, batches, sums
 * cut along k; the table. */
#include <string.h>

#include "gemm_cases.h"

static void test_transpositions_of_all_sizes(void **state)
{
    (void)state;
    static const int sizes[][3] = {{9, 9, 1},     {16, 16, 16},  {17, 65, 15},  {96, 128, 128},
                                   {96, 65, 128}, {96, 128, 65}, {96, 153, 64}, {153, 128, 96},
                                   {33, 31, 129}, {64, 64, 257}, {12, 100, 77}, {130, 49, 300}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int trans = 0; trans < 4; trans++)
            expect_product(sizes[i][0], sizes[i][1], sizes[i][2], trans & 1, trans & 2, i % 3 == 1 ? GEMM_BETA : 0);
}

static void test_random_sizes_and_places(void **state)
{
    (void)state;
    for (int round = 0; round < 24; round++) {
        uint64_t seed = 100 + 10 * (uint64_t)round;
        int m = random_int(seed, 9, 150), n = random_int(seed + 1, 9, 150), k = random_int(seed + 2, 1, 200);
        expect_product(m, n, k, round & 1, round & 2, random_int(seed + 3, 0, 7) | GEMM_APART);
    }
}

static void test_batches(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        uint64_t seed = 500 + 10 * (uint64_t)round;
        int m = random_int(seed, 9, 70), n = random_int(seed + 1, 9, 70), k = random_int(seed + 2, 1, 70);
        expect_product(m, n, k, round & 1, round & 2, random_int(seed + 3, 0, 7) | GEMM_BATCH);
    }
}

static void test_bias_is_added_to_every_row(void **state)
{
    (void)state;
    for (int trans = 0; trans < 4; trans++)
        expect_product(43, 67 + 10 * trans, 140, trans & 1, trans & 2, GEMM_BIAS | (trans == 2 ? GEMM_BETA : 0));
}

/* Few rows and columns: the sum is cut, the parts are added in order. */
static void test_deep_products(void **state)
{
    (void)state;
    expect_product(20, 24, 5000, true, false, GEMM_BETA);
    expect_product(9, 11, 2049, false, true, GEMM_BIAS);
    expect_product(33, 20, 1999, false, false, GEMM_APART | GEMM_BETA | GEMM_BIAS);
}

static void test_many_rows_and_panels(void **state)
{
    (void)state;
    expect_product(700, 33, 40, false, true, 0);
    expect_product(300, 300, 600, false, false, GEMM_BETA); /* panels share a group */
    expect_product(40, 1100, 50, true, true, 0);
}

static void test_operands_in_one_tensor(void **state)
{
    (void)state;
    test_case("gemm with a, b and c in one tensor");
    enum { M = 20, N = 30, K = 40, A = 0, B = A + M * K, C = B + K * N, ALL = C + M * N };
    double *all = random_array(1, ALL, 1);
    mr_tensor t = upload(all, ALL);
    struct mr_gemm g = {.m = M, .n = N, .k = K, .offset_a = A, .offset_b = B, .offset_c = C};
    must(mr_gemm(test_runtime(), &g, &t, &t, &t));
    const struct mr_ref_gemm want = {.m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N};
    mr_ref_gemm(all + A, all + B, all + C, NULL, &want);
    expect_near("all", &t, all, ALL, 2e-6);
    release(&t);
    free(all);
}

static void test_same_bits_twice(void **state)
{
    (void)state;
    static const int sizes[][3] = {{96, 128, 128}, {20, 24, 5000}, {4, 128, 768}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        size_t n_c = (size_t)m * (size_t)n;
        test_case("gemm twice, %d x %d x %d", m, n, k);
        double *a = random_array(1, (size_t)m * (size_t)k, 1), *b = random_array(2, (size_t)k * (size_t)n, 1), *got[2];
        mr_tensor ta = upload(a, (size_t)m * (size_t)k), tb = upload(b, (size_t)k * (size_t)n);
        struct mr_gemm g = {.m = m, .n = n, .k = k, .trans_a = true};
        for (int time = 0; time < 2; time++) {
            mr_tensor tc = empty(n_c);
            must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
            got[time] = download(&tc, n_c);
            release(&tc);
        }
        assert_memory_equal(got[0], got[1], n_c * sizeof(double));
        release(&ta), release(&tb);
        free(a), free(b), free(got[0]), free(got[1]);
    }
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    test_case("gemm, wrong sizes");
    mr_runtime *rt = test_runtime();
    mr_tensor t = zeroed(100), whole = empty_i32(100);
    const struct mr_gemm right = {.m = 10, .n = 10, .k = 10};
    must(mr_gemm(rt, &right, &t, &t, &t)); /* all zeros: the overlap does not show */
    struct mr_gemm g[] = {right, right, right, right, right, right, right, right};
    g[0].k = 11;
    g[1].offset_c = 1;
    g[2].lda = 9;
    g[3].beta = 0.5f;
    g[4].m = 0;
    g[5].batch = 2, g[5].stride_a = 10;
    g[6].batch = 3, g[6].stride_b = SIZE_MAX / 2;
    g[7].n = 0x7fffffff;
    for (size_t i = 0; i < sizeof g / sizeof g[0]; i++)
        assert_int_equal(mr_gemm(rt, &g[i], &t, &t, &t), MR_EINVAL);
    assert_int_equal(mr_gemm(rt, &right, &t, &whole, &t), MR_EINVAL);
    assert_int_equal(mr_gemm(rt, &right, &t, NULL, &t), MR_EINVAL);
    mr_tensor short_bias = zeroed(9);
    g[0] = right, g[0].bias = &short_bias;
    assert_int_equal(mr_gemm(rt, &g[0], &t, &t, &t), MR_EINVAL);
    release(&t), release(&whole), release(&short_bias);
}

/* Another table takes other tiles, gives the same numbers, and has another hash. */
static void test_table_decides(void **state)
{
    (void)state;
    static const char other[] = "# other tiles\n"
                                "small nt * own rows=3 vectors=1 depth=32 side=4\n\n"
                                "any ** * own rows=5 vectors=3 depth=48 side=16 # the rest\n";
    mr_runtime *rt;
    must(mr_runtime_open(&rt, NULL));
    uint64_t before = mr_gemm_table_hash(rt);
    must(mr_gemm_set_table(rt, "other", other));
    assert_true(mr_gemm_table_hash(rt) != before);
    test_case("gemm with another table");
    enum { M = 50, N = 60 };
    for (int k = 30; k < 2000; k += 1800) {
        size_t n_a = (size_t)M * (size_t)k, n_b = (size_t)N * (size_t)k;
        double *a = random_array(1, n_a, 1), *b = random_array(2, n_b, 1), *c = zeros(M * N);
        float *f = malloc((n_a + n_b + M * N) * sizeof *f);
        mr_tensor ta, tb, tc;
        must(mr_tensor_alloc(rt, &ta, MR_F32, n_a));
        must(mr_tensor_alloc(rt, &tb, MR_F32, n_b));
        must(mr_tensor_alloc(rt, &tc, MR_F32, M * N));
        for (size_t i = 0; i < n_a; i++)
            f[i] = (float)a[i];
        must(mr_write(rt, &ta, 0, n_a, f));
        for (size_t i = 0; i < n_b; i++)
            f[i] = (float)b[i];
        must(mr_write(rt, &tb, 0, n_b, f));
        struct mr_gemm g = {.m = M, .n = N, .k = k, .trans_b = true};
        must(mr_gemm(rt, &g, &ta, &tb, &tc));
        must(mr_read(rt, &tc, 0, M * N, f));
        double *got = zeros(M * N);
        for (size_t i = 0; i < M * N; i++)
            got[i] = (double)f[i];
        const struct mr_ref_gemm want = {M, N, k, false, true, 0, (size_t)k, (size_t)k, N};
        mr_ref_gemm(a, b, c, NULL, &want);
        expect_near_host("C", got, c, M * N, 3e-6);
        mr_tensor_free(rt, &ta), mr_tensor_free(rt, &tb), mr_tensor_free(rt, &tc);
        free(a), free(b), free(c), free(f), free(got);
    }
    mr_runtime_close(rt);
}

static void test_wrong_tables_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "any ** * own rows=99\n",
        "any ** * own size=3\n",
        "any ** * blas\n",
        "huge ** * own\n",
        "any *x * own\n",
        "small ** * own\n",
        "any nn * own\n",
        "any ** 5 own\n",
        "any **\n",
        "any ** * own side=7\n",
        "any ** * own rows=\n",
    };
    mr_runtime *rt = test_runtime();
    uint64_t hash = mr_gemm_table_hash(rt);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(mr_gemm_set_table(rt, "wrong", wrong[i]), MR_EFILE);
    assert_int_equal(mr_gemm_set_table(rt, "wrong", "any ** * own\nany ** * own rows=x\n"), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "wrong:2"));
    assert_true(mr_gemm_table_hash(rt) == hash);
}

/* What a plan would reserve is what the product takes. */
static void test_scratch_is_told(void **state)
{
    (void)state;
    mr_runtime *rt;
    must(mr_runtime_open(&rt, NULL));
    mr_tensor a, b, c;
    must(mr_tensor_alloc(rt, &a, MR_F32, 20 * 5000));
    must(mr_tensor_alloc(rt, &b, MR_F32, 24 * 5000));
    must(mr_tensor_alloc(rt, &c, MR_F32, 20 * 24));
    must(mr_zero(rt, &a)), must(mr_zero(rt, &b));
    struct mr_gemm g = {.m = 20, .n = 24, .k = 5000};
    size_t told, before, after;
    must(mr_gemm_scratch(rt, &g, &told));
    mr_device_bytes(rt, &before, NULL);
    must(mr_gemm(rt, &g, &a, &b, &c));
    mr_device_bytes(rt, &after, NULL);
    assert_int_equal(after - before, told);
    mr_tensor_free(rt, &a), mr_tensor_free(rt, &b), mr_tensor_free(rt, &c);
    mr_runtime_close(rt);
}

static void test_provider_follows_the_wish(void **state)
{
    (void)state;
    const char *wish = getenv("MICRORWKV_GEMM");
    struct mr_gemm matrix = {.m = 64, .n = 64, .k = 64}, vector = {.m = 1, .n = 64, .k = 64};
    if (wish && *wish)
        assert_string_equal(mr_gemm_provider(test_runtime(), &matrix), wish);
    assert_string_equal(mr_gemm_provider(test_runtime(), &vector), "own");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transpositions_of_all_sizes),
        cmocka_unit_test(test_random_sizes_and_places),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_bias_is_added_to_every_row),
        cmocka_unit_test(test_deep_products),
        cmocka_unit_test(test_many_rows_and_panels),
        cmocka_unit_test(test_operands_in_one_tensor),
        cmocka_unit_test(test_same_bits_twice),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_table_decides),
        cmocka_unit_test(test_wrong_tables_are_refused),
        cmocka_unit_test(test_scratch_is_told),
        cmocka_unit_test(test_provider_follows_the_wish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
