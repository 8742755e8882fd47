/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "comm/tree.h"

/* Sums the parts first, first + stride, … into the first. */
static void sum(float *const *parts, int count, size_t n, int first, int stride)
{
    if (first + stride >= count)
        return;
    sum(parts, count, n, first, 2 * stride);
    sum(parts, count, n, first + stride, 2 * stride);
    float *restrict to = parts[first];
    const float *restrict from = parts[first + stride];
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

void mr_tree_sum(float *const *parts, int count, size_t n)
{
    sum(parts, count, n, 0, 1);
}
