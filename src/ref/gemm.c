/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/gemm.h"

void mr_ref_gemm(const double *a, const double *b, double *c, const double *bias, const struct mr_ref_gemm *g)
{
    for (size_t i = 0; i < (size_t)g->m; i++)
        for (size_t j = 0; j < (size_t)g->n; j++) {
            double sum = bias ? bias[j] : 0;
            for (size_t p = 0; p < (size_t)g->k; p++)
                sum += (g->trans_a ? a[p * g->lda + i] : a[i * g->lda + p]) *
                       (g->trans_b ? b[j * g->ldb + p] : b[p * g->ldb + j]);
            c[i * g->ldc + j] = g->beta != 0 ? g->beta * c[i * g->ldc + j] + sum : sum;
        }
}
