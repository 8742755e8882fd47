/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/gemm.h"

void mr_ref_gemm(const double *a, const double *b, double *c, const double *bias, int m, int n, int k, bool trans_a,
                 bool trans_b, double beta, size_t lda, size_t ldb, size_t ldc)
{
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t j = 0; j < (size_t)n; j++) {
            double sum = bias ? bias[j] : 0;
            for (size_t p = 0; p < (size_t)k; p++)
                sum += (trans_a ? a[p * lda + i] : a[i * lda + p]) * (trans_b ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] = beta != 0 ? beta * c[i * ldc + j] + sum : sum;
        }
}
