/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a decoding step of a mixture of experts has between its products, in one launch: the gate and the experts are
 * products of the same rows, then comes mr_mixture_step or mr_topk_step. The same as ops/mixture.h and mixture_topk.h
 * without the routes. */
#ifndef MR_OPS_MIXTURE_STEP_H
#define MR_OPS_MIXTURE_STEP_H

#include "rt/rt.h"

enum { MR_MIXTURE_STEP_EXPERTS = 64 }; /* at most */

/* h [R,D] = sum over e < A of softmax(logits [R,E])_e times o [R,A,D] */
int mr_mixture_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows,
                    int experts, int active, int dim);

/* h [R,D] = sum over e of weight [R,E] times o [R,E,D]. The weights are the `active` largest of softmax(logits [R,E]),
 * ties to the lower index, scaled to sum 1; 0 of the others, of which o is not read. */
int mr_topk_step(mr_runtime *rt, const mr_tensor *logits, const mr_tensor *o, const mr_tensor *h, int rows, int experts,
                 int active, int dim);

#endif
