/* SPDX-License-Identifier: GPL-3.0-or-later
 * The project's own products: cl/gemm.cl and cl/matvec.cl. gemm.c checks and fills in the struct mr_gemm before:
 * leading dimensions and batch are set. */
#ifndef MR_RT_GEMM_OWN_H
#define MR_RT_GEMM_OWN_H

#include "rt/gemm_table.h"

struct mr_gemm_state {
    struct mr_gemm_table table;
    int override;                        /* MICRORWKV_GEMM: 'o'wn, 'c'lblast, 0: neither */
    mr_tensor scratch;                   /* parts of sums, or CLBlast's */
    mr_tensor widened;                   /* weights as floats, for CLBlast */
    bool ready;                          /* CLBlast has its parameters */
    bool failed;                         /* CLBlast did once: not again */
    char defines[MR_ELEMENTS][5][4][64]; /* of products' variants: by format, log2 of ROWS, of COUNT; "": not yet */
};

/* Whether a product of a matrix with few vectors can take the kernels of cl/matvec.cl. */
bool mr_gemm_is_vectors(const struct mr_gemm *g);
int mr_gemm_vectors(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b,
                    const mr_tensor *c);

/* Floats of scratch that mr_gemm_own needs; may be 0. */
size_t mr_gemm_own_scratch(const mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles);
int mr_gemm_own(mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles, const mr_tensor *a,
                const mr_tensor *b, const mr_tensor *c, const mr_tensor *scratch);

/* to [rows,k] floats = rows first .. first+rows-1 of W [w->count / k, k] in a format of weights. */
int mr_gemm_widen(mr_runtime *rt, const mr_tensor *w, int k, size_t first, int rows, const mr_tensor *to);

/* C += bias, on every row of every product of the batch. */
int mr_gemm_add_bias(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *c);

#endif
