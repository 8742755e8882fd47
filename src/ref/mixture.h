/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/mixture.h. */
#ifndef MR_REF_MIXTURE_H
#define MR_REF_MIXTURE_H

void mr_ref_softmax_forward(const double *x, double *y, int rows, int experts);
/* From the input x, unlike the op. */
void mr_ref_softmax_backward(const double *x, const double *dy, double *dx, int rows, int experts);

void mr_ref_mixture_forward(const double *scores, const double *o, double *h, int rows, int experts, int active,
                            int dim);
void mr_ref_mixture_backward(const double *scores, const double *o, const double *dh, double *dscores, double *d_o,
                             int rows, int experts, int active, int dim);

/* The term itself, without a weight. */
double mr_ref_diversity_forward(const double *o, int batch, int time, int active, int dim);
/* d_o += weight * d term / d o */
void mr_ref_diversity_backward(const double *o, double *d_o, int batch, int time, int active, int dim, double weight);

#endif
