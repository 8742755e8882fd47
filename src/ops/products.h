/* SPDX-License-Identifier: GPL-3.0-or-later
 * Products of matrices with the few rows of a decoding step, several in one launch, activation, gate and residual
 * included: struct mr_product of rt/products.h. A row's bits do not depend on how many rows there are. */
#ifndef MR_OPS_PRODUCTS_H
#define MR_OPS_PRODUCTS_H

#include "rt/products.h"

/* 1 to MR_MOST_PRODUCTS products of 1 to MR_MOST_PRODUCT_ROWS rows each. No y may be what another product reads. One
 * launch where the weights of those that are not transposed have one format; else one for each format. */
int mr_products(mr_runtime *rt, const struct mr_product *list, int count, int rows);

#endif
