/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products behind one door: CLBlast or the project's own kernel, chosen from a table by device, shape
 * class and transposition; MICRORWKV_GEMM=clblast|own overrides. */
#ifndef MR_RT_GEMM_H
#define MR_RT_GEMM_H

#include "rt/rt.h"

/* C[m,n] = op(A)[m,k] · op(B)[k,n] + beta · C, row-major; op transposes where trans_* is set, so that A is
 * stored (k,m) and B (n,k). Leading dimensions in elements, 0: tight. Offsets are elements into the tensors.
 * batch (0 counts as 1) products lie stride_* elements apart. beta is 0 (C is not read) or 1. */
struct mr_gemm {
    int m, n, k;
    bool trans_a, trans_b;
    float beta;
    int lda, ldb, ldc;
    size_t offset_a, offset_b, offset_c;
    int batch;
    size_t stride_a, stride_b, stride_c;
};

int mr_gemm(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c);

#endif
