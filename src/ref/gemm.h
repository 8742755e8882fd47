/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of rt/gemm.h. */
#ifndef MR_REF_GEMM_H
#define MR_REF_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* C[m,n] = op(A)[m,k] op(B)[k,n] + beta C (+ bias [n] on every row, NULL: none); op transposes; the rows of the
 * stored matrices lie lda, ldb, ldc apart. With beta 0 C is not read. */
void mr_ref_gemm(const double *a, const double *b, double *c, const double *bias, int m, int n, int k, bool trans_a,
                 bool trans_b, double beta, size_t lda, size_t ldb, size_t ldc);

#endif
