/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/mixture_topk.h. */
#ifndef MR_REF_MIXTURE_TOPK_H
#define MR_REF_MIXTURE_TOPK_H

/* choice [R,A]: the experts of the largest scores, by falling score, ties to the lower index; weights [R,A].
 */
void mr_ref_topk_route(const double *scores, int *choice, double *weights, int rows, int experts, int active);

/* Where each assignment (row * active + slot) comes when they are ordered by expert, within an expert by
 * number: source [R*A]; load [E]: how many each expert has. */
void mr_ref_topk_order(const int *choice, int *source, int *load, int rows, int experts, int active);

/* E * sum over e of f_e P_e, with given choices. */
double mr_ref_topk_balance(const double *scores, const int *choice, int rows, int experts, int active);

/* dscores [R,E] (written) from dweights [R,A], and of balance * that term, f_e held fixed. */
void mr_ref_topk_scores_backward(const double *scores, const int *choice, const double *dweights, double balance,
                                 double *dscores, int rows, int experts, int active);

#endif
