/* SPDX-License-Identifier: GPL-3.0-or-later
 * The loss: softmax cross-entropy of rows of logits, in slices of rows where all logits are too many. */
#ifndef MR_OPS_CROSS_ENTROPY_H
#define MR_OPS_CROSS_ENTROPY_H

#include "rt/rt.h"

/* logits [rows,V] are those of rows start..start+rows-1 of the batch; targets i32 and row_loss are indexed by
 * the batch's row. row_loss = -log softmax(logits)[target], or 0 where the target is -1 (or not in 0..V-1).
 * If backward, the logits become d loss / d logits = (softmax - onehot) * inv_count, or 0 where there is no
 * target; and the largest of a row's logits (the first of equal ones) has l2wrap times itself added before the factor:
 * the gradient of half its square, which row_loss does not hold. */
int mr_cross_entropy(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *targets, const mr_tensor *row_loss,
                     int start, int rows, int V, float inv_count, bool backward, float l2wrap);

/* loss[0] = inv_count * the sum of row_loss [rows]; written, not added. */
int mr_mean_loss(mr_runtime *rt, const mr_tensor *row_loss, const mr_tensor *loss, int rows, float inv_count);

#endif
