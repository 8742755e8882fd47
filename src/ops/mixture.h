/* SPDX-License-Identifier: GPL-3.0-or-later
 * The dense mixture of experts: h = sum over e < A of s_e * o_e, with s = softmax(gate(x)) over E scores and
 * o_e = expert_e(x). Experts write their outputs as columns of o [R,A,D] (leading dimension A*D, offset e*D),
 * so that each expert is one matrix product. The top-k mixture ends with the same sum (its own weights, E =
 * A). */
#ifndef MR_OPS_MIXTURE_H
#define MR_OPS_MIXTURE_H

#include "rt/rt.h"

/* y = softmax(x) over rows of E floats; y may be x. */
int mr_softmax_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, int rows, int experts);

/* dx = y * (dy - dy . y); dx may be dy. */
int mr_softmax_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *dy, const mr_tensor *dx, int rows,
                        int experts);

/* h [R,D] = sum over e < A of scores [R,E] times o [R,A,D] */
int mr_mixture_forward(mr_runtime *rt, const mr_tensor *scores, const mr_tensor *o, const mr_tensor *h, int rows,
                       int experts, int active, int dim);

/* d_o [R,A,D] = scores_e * dh; dscores [R,E] = dh . o_e, 0 for e >= A */
int mr_mixture_backward(mr_runtime *rt, const mr_tensor *scores, const mr_tensor *o, const mr_tensor *dh,
                        const mr_tensor *dscores, const mr_tensor *d_o, int rows, int experts, int active, int dim);

/* loss [1] += weight * the mean over (B,A,D) of mean[b,e,d]^2, mean [B,A*D] (written, kept for backward)
 * being the mean over t of o [B,T,A,D]. */
int mr_diversity_forward(mr_runtime *rt, const mr_tensor *o, const mr_tensor *mean, const mr_tensor *loss, int batch,
                         int time, int active, int dim, float weight);

/* d_o [B,T,A,D] += the gradient of weight * that term; after mr_mixture_backward, which writes d_o. */
int mr_diversity_backward(mr_runtime *rt, const mr_tensor *mean, const mr_tensor *d_o, int batch, int time, int active,
                          int dim, float weight);

#endif
