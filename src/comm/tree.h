/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sums whose order is fixed by the number of their terms alone. */
#ifndef MR_COMM_TREE_H
#define MR_COMM_TREE_H

#include <stddef.h>

/* parts[0] = the sum of all parts [count][n]; the others are overwritten. Term i meets term i + 2^k first, for the
 * largest 2^k below the count: (0+2) + (1+3) for four, ((0+4) + 2) + (1+3) for five. Ranks r, r+N, … of micro-batches
 * lie in the same order as those that one rank has added up before. */
void mr_tree_sum(float *const *parts, int count, size_t n);

#endif
