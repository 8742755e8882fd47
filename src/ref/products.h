/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/products.h. */
#ifndef MR_REF_PRODUCTS_H
#define MR_REF_PRODUCTS_H

#include <stdbool.h>

/* y [rows,n] = act(x [rows,k] W^T + bias) * gate + add; W [n,k], or (k,n) if transposed; bias [n], gate and add
 * [rows,n] may be NULL. act is an enum mr_activation. */
struct mr_ref_product {
    const double *x, *w, *bias, *gate, *add;
    double *y;
    int rows, n, k;
    bool transposed;
    int act;
};

void mr_ref_product(const struct mr_ref_product *p);

#endif
