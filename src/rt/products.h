/* SPDX-License-Identifier: GPL-3.0-or-later
 * Several products of matrices with few vectors in one launch: cl/products.cl. ops/products.h checks before. */
#ifndef MR_RT_PRODUCTS_H
#define MR_RT_PRODUCTS_H

#include "rt/rt.h"

enum mr_activation {
    MR_ACT_NONE,
    MR_ACT_SIGMOID,
    MR_ACT_SILU,
    MR_ACT_TANH,
    MR_ACT_SQUARED_RELU,
    MR_ACT_GELU_ERF,
    MR_ACT_GELU_TANH,
    MR_ACT_RELU,
    MR_ACT_GELU_QUICK,
    MR_ACTS
};

/* y = act(x W^T + bias) * gate + add, row by row. W [n,k] is in any format, its rows begin at element offset_w (in a
 * format of weights a multiple of k * MR_ROWS_TOGETHER); or, `transposed`, (k,n) floats. Row r of x begins at element
 * offset_x + r * ldx; so do those of y, gate and add with theirs; an ld of 0 is k (x) or n. bias [n], gate and add may
 * be NULL. gate and add may be y. */
struct mr_product {
    const mr_tensor *x, *w, *bias, *y, *gate, *add;
    size_t offset_x, offset_y, offset_w, offset_gate, offset_add;
    int ldx, ldy, ld_gate, ld_add;
    int n, k;
    bool transposed;
    enum mr_activation act;
};

enum { MR_MOST_PRODUCTS = 8, MR_MOST_PRODUCT_ROWS = 64 };

/* Up to MR_MOST_PRODUCTS of them; as many launches as the weights have formats. The tensors are not checked. */
int mr_products_launch(mr_runtime *rt, const struct mr_product *list, int count, int rows);

#endif
