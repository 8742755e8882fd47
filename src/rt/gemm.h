/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products behind one door: CLBlast or the project's own kernels, chosen from a table by device, shape
 * class and transposition; MICRORWKV_GEMM=clblast|own overrides. */
#ifndef MR_RT_GEMM_H
#define MR_RT_GEMM_H

#include "rt/rt.h"

/* C[m,n] = op(A)[m,k] · op(B)[k,n] + beta · C (+ bias), row-major; op transposes where trans_* is set, so that A
 * is stored (k,m) and B (n,k). Leading dimensions in elements, 0: tight. Offsets are elements into the tensors.
 * batch (0 counts as 1) products lie stride_* elements apart. beta is 0 (C is not read) or 1. C's elements must
 * not be among A's or B's; all three may lie in one tensor. bias [n], NULL for none, is added to every row.
 * B may be in a format of weights: tight, no batch, beginning at a multiple of MR_ROWS_TOGETHER rows where trans_b is
 * set, else whole rows from its first. Of such a product with up to MR_GEMM_ROWS rows, a row's bits do not depend on
 * how many there are. */
struct mr_gemm {
    int m, n, k;
    bool trans_a, trans_b;
    float beta;
    int lda, ldb, ldc;
    size_t offset_a, offset_b, offset_c;
    int batch;
    size_t stride_a, stride_b, stride_c;
    const mr_tensor *bias;
    enum mr_element format; /* of B, for mr_gemm_scratch and mr_gemm_provider; mr_gemm takes B's own */
};

enum { MR_GEMM_ROWS = 64 };

int mr_gemm(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c);

/* The same by the project's own kernels for matrices, whatever the table says: to compare with. */
int mr_gemm_by_own(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c);

/* Bytes of the runtime's own scratch (grown on demand, counted in mr_device_bytes) that this product takes. rt NULL: as
 * for a middling CPU. */
int mr_gemm_scratch(mr_runtime *rt, const struct mr_gemm *g, size_t *bytes);

/* The provider that the table or MICRORWKV_GEMM gives this product: "own" or "clblast". */
const char *mr_gemm_provider(mr_runtime *rt, const struct mr_gemm *g);

/* What a device's products would take: "clblast" where it is forced or the table names it for some shapes, else
 * "own"; and the name of the table. Opens nothing. MR_ENODEV: MICRORWKV_GEMM names no provider. */
int mr_gemm_of_device(const struct mr_device_info *info, const char **provider, const char **table_name);

/* What decides about the bits of a product besides device, driver and build: of the table and the override. */
uint64_t mr_gemm_table_hash(const mr_runtime *rt);

/* Replaces the device's table by another text in the format of data/tune/: a product's order of additions
 * depends on it, so before the first product. `name` is for messages. */
int mr_gemm_set_table(mr_runtime *rt, const char *name, const char *text);

#endif
