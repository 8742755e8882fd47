/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token and position embedding. B batch, T positions, R = B*T rows of C numbers, V rows in wte, P in wpe. */
#ifndef MR_OPS_EMBEDDING_H
#define MR_OPS_EMBEDDING_H

#include "rt/rt.h"

/* y[b*T+t] = wte[tokens[b*T+t]] + wpe[pos+t]. tokens i32 [R], wte [V,C], wpe [P,C] or NULL, y [R,C]; V and P
 * are the tensors' sizes / C. A token outside 0..V-1 counts as a row of zeros; pos + T > P fails. */
int mr_embedding_forward(mr_runtime *rt, const mr_tensor *tokens, const mr_tensor *wte, const mr_tensor *wpe,
                         const mr_tensor *y, int B, int T, int C, int pos);

/* On the host: order[R] gets the rows sorted by token (equal tokens by row), first[u] for u < *unique where
 * the run of the u-th distinct token starts in it, first[*unique] = rows. first holds rows + 1 numbers. */
int mr_embedding_order(const int32_t *tokens, int rows, int32_t *order, int32_t *first, int *unique);

/* dwte[token] += the sum of dy over the token's rows, in their order. order i32 [R], first i32 [unique+1],
 * tokens i32 [R], dy [R,C], dwte [V,C]. */
int mr_embedding_backward(mr_runtime *rt, const mr_tensor *order, const mr_tensor *first, int unique,
                          const mr_tensor *tokens, const mr_tensor *dy, const mr_tensor *dwte, int rows, int C);

/* dwpe[pos+t] += sum over b of dy[b*T+t]; dy [B*T,C], dwpe [P >= pos+T,C]. */
int mr_position_backward(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *dwpe, int B, int T, int C, int pos);

#endif
