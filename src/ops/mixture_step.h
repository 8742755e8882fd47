/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a decoding step of a mixture of experts has between its products. Dense: the gate and the experts that run are
 * products of the same rows, then mr_mixture_step. Top-k: the gate, mr_topk_step_weights, the experts (those of weight
 * 0 may be left out), then mr_topk_step. The same as ops/mixture.h and mixture_topk.h without the routes. */
#ifndef MR_OPS_MIXTURE_STEP_H
#define MR_OPS_MIXTURE_STEP_H

#include "rt/rt.h"

enum { MR_MIXTURE_STEP_EXPERTS = 64 }; /* at most */

/* h [R,D] = sum over e < A of softmax(logits [R,E])_e times o [R,A,D] */
int mr_mixture_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows,
                    int experts, int active, int dim);

/* weights [R,E]: those of the `active` largest of softmax(logits [R,E]), ties to the lower index, scaled to sum 1; 0
 * of the others. */
int mr_topk_step_weights(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *weights, int rows, int experts,
                         int active);

/* h [R,D] = sum over e of weights [R,E] times o [R,E,D]; where a weight is 0, o is not read. */
int mr_topk_step(mr_runtime *rt, const mr_tensor *weights, const mr_tensor *o, const mr_tensor *h, int rows,
                 int experts, int dim);

#endif
