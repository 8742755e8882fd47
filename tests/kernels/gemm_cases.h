/* SPDX-License-Identifier: GPL-3.0-or-later
 * One product against the reference in double precision: for tests/kernels/gemm.c and matvec.c. */
#ifndef GEMM_CASES_H
#define GEMM_CASES_H

#include <math.h>

#include "base/alloc.h"
#include "kernel_test.h"
#include "ref/gemm.h"
#include "rt/gemm.h"

enum gemm_extra {
    GEMM_BETA = 1, /* C += */
    GEMM_BIAS = 2,
    GEMM_APART = 4, /* leading dimensions and offsets that are not tight */
    GEMM_BATCH = 8, /* three products, their matrices a few elements apart */
};

static inline size_t gemm_span(int rows, int columns, int ld)
{
    return (size_t)(rows - 1) * (size_t)ld + (size_t)columns;
}

/* Without GEMM_BETA, C holds NaN before; what lies between C's elements must stay. */
static inline void expect_product(int m, int n, int k, bool trans_a, bool trans_b, int extra)
{
    test_case("gemm %c%c %d x %d x %d%s%s%s%s, seed %llu", trans_a ? 't' : 'n', trans_b ? 't' : 'n', m, n, k,
              extra & GEMM_BETA ? " beta" : "", extra & GEMM_BIAS ? " bias" : "", extra & GEMM_APART ? " apart" : "",
              extra & GEMM_BATCH ? " batch" : "", (unsigned long long)test_seed());
    struct mr_gemm g = {
        .m = m, .n = n, .k = k, .trans_a = trans_a, .trans_b = trans_b, .beta = extra & GEMM_BETA ? 1 : 0};
    int more = extra & GEMM_APART ? 1 : 0, batch = extra & GEMM_BATCH ? 3 : 1;
    int rows_a = trans_a ? k : m, cols_a = trans_a ? m : k, rows_b = trans_b ? n : k, cols_b = trans_b ? k : n;
    int lda = cols_a + 3 * more, ldb = cols_b + 5 * more, ldc = n + 2 * more;
    size_t span_a = gemm_span(rows_a, cols_a, lda), span_b = gemm_span(rows_b, cols_b, ldb),
           span_c = gemm_span(m, n, ldc);
    if (more)
        g.lda = lda, g.ldb = ldb, g.ldc = ldc, g.offset_a = 7, g.offset_b = 1, g.offset_c = 13;
    if (batch > 1)
        g.batch = batch, g.stride_a = span_a + 1, g.stride_b = span_b + 4, g.stride_c = span_c + 3;
    size_t n_a = g.offset_a + span_a + (size_t)(batch - 1) * g.stride_a;
    size_t n_b = g.offset_b + span_b + (size_t)(batch - 1) * g.stride_b;
    size_t n_c = g.offset_c + span_c + (size_t)(batch - 1) * g.stride_c;
    double *a = random_array(1, n_a, 1), *b = random_array(2, n_b, 1), *c = random_array(3, n_c, 1),
           *bias = random_array(4, (size_t)n, 1);
    for (int z = 0; z < batch && !(extra & GEMM_BETA); z++)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                c[g.offset_c + (size_t)z * g.stride_c + (size_t)i * (size_t)ldc + (size_t)j] = NAN;
    mr_tensor ta = upload(a, n_a), tb = upload(b, n_b), tc = upload(c, n_c), tbias = upload(bias, (size_t)n);
    if (extra & GEMM_BIAS)
        g.bias = &tbias;
    must(mr_gemm(test_runtime(), &g, &ta, &tb, &tc));
    const struct mr_ref_gemm want = {m, n, k, trans_a, trans_b, (double)g.beta, (size_t)lda, (size_t)ldb, (size_t)ldc};
    for (int z = 0; z < batch; z++)
        mr_ref_gemm(a + g.offset_a + (size_t)z * g.stride_a, b + g.offset_b + (size_t)z * g.stride_b,
                    c + g.offset_c + (size_t)z * g.stride_c, extra & GEMM_BIAS ? bias : NULL, &want);
    expect_near("C and what lies between", &tc, c, n_c, 1e-6 + 3e-8 * sqrt(k));
    release(&ta), release(&tb), release(&tc), release(&tbias);
    free(a), free(b), free(c), free(bias);
}

#endif
