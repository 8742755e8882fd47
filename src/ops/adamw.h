/* SPDX-License-Identifier: GPL-3.0-or-later
 * The optimizer: AdamW with decoupled weight decay, and clipping by the global norm of the gradients. */
#ifndef MR_OPS_ADAMW_H
#define MR_OPS_ADAMW_H

#include "rt/rt.h"

struct mr_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step; /* 1 at the first update */
};

/* For elements offset..offset+count-1 of p, g, m, v (g is multiplied by clip[0], unless clip is NULL; if that is not a
 * number, nothing changes):
 *     m = beta1 m + (1 - beta1) g             v = beta2 v + (1 - beta2) g^2
 *     p = p - lr weight_decay p - lr m/(1 - beta1^step) / (sqrt(v/(1 - beta2^step)) + eps)
 * Segments of tensors are updated in few calls: neighbours with the same decay together. */
int mr_adamw(mr_runtime *rt, const struct mr_adamw *s, const mr_tensor *p, const mr_tensor *g, const mr_tensor *m,
             const mr_tensor *v, size_t offset, size_t count, const mr_tensor *clip);

/* partial[at..] = sums of g^2 over blocks of MR_SQUARE_SUM_BLOCK elements of g[offset..offset+count-1];
 * mr_square_sum_partials(count) of them, so that several segments can leave theirs behind each other. */
int mr_square_sum(mr_runtime *rt, const mr_tensor *g, size_t offset, size_t count, const mr_tensor *partial, size_t at);
enum { MR_SQUARE_SUM_BLOCK = 4096 };
size_t mr_square_sum_partials(size_t count);

/* norm[0] = sqrt(sum of partial[0..n-1]), factor[0] = min(1, max_norm / (norm + 1e-6)), or 1 if max_norm is
 * 0. */
int mr_clip_factor(mr_runtime *rt, const mr_tensor *partial, size_t n, float max_norm, const mr_tensor *norm,
                   const mr_tensor *factor);

/* loss[0] = (first ? 0 : loss[0]) + cross_entropy[0] + aux[0]: of the batches of one iteration. */
int mr_gather_loss(mr_runtime *rt, const mr_tensor *cross_entropy, const mr_tensor *aux, const mr_tensor *loss,
                   bool first);

/* Between mr_clip_factor and the updates of an iteration: if its loss or norm is not finite, factor[0] becomes not a
 * number, and so it does from then on. report[4] tells of the iterations since it was zeroed: loss and norm of the last
 * one, how many changed the parameters, and whether (1) one did not. */
int mr_guard_update(mr_runtime *rt, const mr_tensor *loss, const mr_tensor *norm, const mr_tensor *factor,
                    const mr_tensor *report);

#endif
