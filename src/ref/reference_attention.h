/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/reference_attention.h, padding and all. */
#ifndef MR_REF_REFERENCE_ATTENTION_H
#define MR_REF_REFERENCE_ATTENTION_H

/* qkv [B,T,3C] -> y [B,T,C]; the gradient with respect to qkv is written. No memory: nothing is done. */
void mr_ref_reference_sliding_forward(const double *qkv, double *y, int batch, int time, int heads, int dim);
void mr_ref_reference_sliding_backward(const double *qkv, const double *dy, double *dqkv, int batch, int time,
                                       int heads, int dim);

/* qkvw [B,T,4C] -> y [B,T,C] */
void mr_ref_reference_grouped_forward(const double *qkvw, double *y, int batch, int time, int heads, int dim);
void mr_ref_reference_grouped_backward(const double *qkvw, const double *dy, double *dqkvw, int batch, int time,
                                       int heads, int dim);

#endif
