/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/mixture_step.h. */
#ifndef MR_REF_MIXTURE_STEP_H
#define MR_REF_MIXTURE_STEP_H

/* weights [R,E] of the `active` largest, or, if `dense`, of the first of them, unscaled; 0 of the others. */
void mr_ref_mixture_step_weights(const double *logits, double *weights, int rows, int experts, int active, int dense);
/* h [R,D] = sum over e of weights [R,E] times o [R,E,D] */
void mr_ref_mixture_step(const double *weights, const double *o, double *h, int rows, int experts, int dim);

#endif
