/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of rt/gemm.h. */
#ifndef MR_REF_GEMM_H
#define MR_REF_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* The rows of the stored matrices lie lda, ldb, ldc apart. */
struct mr_ref_gemm {
    int m, n, k;
    bool trans_a, trans_b;
    double beta;
    size_t lda, ldb, ldc;
};

/* C[m,n] = op(A)[m,k] op(B)[k,n] + beta C (+ bias [n] on every row, NULL: none); op transposes. With beta 0 C is not
 * read. */
void mr_ref_gemm(const double *a, const double *b, double *c, const double *bias, const struct mr_ref_gemm *g);

#endif
