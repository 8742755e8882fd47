/* SPDX-License-Identifier: GPL-3.0-or-later
 * The two attentions of MicroRWKV's reference mode: what the published code computes, with its
 * reinterpretations and without causality. C = heads * N = dim.
 *
 * sliding: q, k, v [B,H,P,N] from the thirds of qkv's rows, P = time rounded up to a multiple of 256, zero
 * beyond time; each head's P x N numbers are taken as 256 rows of P*N/256; softmax(q k^T / sqrt(N)) v over
 * those rows. grouped: columns a*C + g*C/4 .. + C/4 of qkvw's rows, g = 0..3, are q, k, v, w of block a*B +
 * b; each block's T x C/4 numbers are taken as H x T x d, d = C/4/H; at each t attention among the H vectors,
 * scale 1/sqrt(d); the result times w, flat over (block, h, t), is y flat over (B,T,C). */
#ifndef MR_OPS_REFERENCE_ATTENTION_H
#define MR_OPS_REFERENCE_ATTENTION_H

#include "rt/rt.h"

struct mr_reference_attention {
    int batch, time, heads, dim;
};

/* Floats kept for backward (the probabilities) and of scratch. */
size_t mr_reference_sliding_kept(const struct mr_reference_attention *s);
size_t mr_reference_sliding_scratch(const struct mr_reference_attention *s, bool training);
size_t mr_reference_grouped_kept(const struct mr_reference_attention *s);
size_t mr_reference_grouped_scratch(const struct mr_reference_attention *s); /* backward only */

/* qkv [B*T,3C] -> y [B*T,C] */
int mr_reference_sliding_forward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkv,
                                 const mr_tensor *y, const mr_tensor *kept, const mr_tensor *scratch);
/* dqkv [B*T,3C] is written. */
int mr_reference_sliding_backward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkv,
                                  const mr_tensor *kept, const mr_tensor *dy, const mr_tensor *dqkv,
                                  const mr_tensor *scratch);

/* qkvw [B*T,4C] -> y [B*T,C]; at most 256 heads */
int mr_reference_grouped_forward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkvw,
                                 const mr_tensor *y, const mr_tensor *kept);
/* dqkvw [B*T,4C] is written. */
int mr_reference_grouped_backward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkvw,
                                  const mr_tensor *kept, const mr_tensor *dy, const mr_tensor *dqkvw,
                                  const mr_tensor *scratch);

#endif
