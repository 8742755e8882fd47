/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token shift: out_k = x + (prev - x) * maa_k for up to 6 mixtures at once; prev is the row of the position
 * before. With `keeps` maa_k is the share of x: out_k = prev + (x - prev) * maa_k. */
#ifndef MR_OPS_TOKEN_SHIFT_H
#define MR_OPS_TOKEN_SHIFT_H

#include "rt/rt.h"

struct mr_token_shift {
    int batch, time, dim;
    int count; /* mixtures, 1 to 6 */
    bool keeps;
};

/* x [B,T,C], previous [B,C] (the row before t = 0; NULL: zeros), maa[k] [C], out[k] [B,T,C] (not x). */
int mr_token_shift_forward(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x,
                           const mr_tensor *previous, const mr_tensor *const maa[], const mr_tensor *const out[]);

/* The gradients for previous = NULL: dx [B,T,C] = (or +=, if accumulate), dmaa[k] [C] += unless NULL.
 * scratch holds mr_token_shift_backward_scratch floats. dx is none of the dout[k]. */
int mr_token_shift_backward(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x,
                            const mr_tensor *const maa[], const mr_tensor *const dout[], const mr_tensor *dx,
                            bool accumulate, const mr_tensor *const dmaa[], const mr_tensor *scratch);
size_t mr_token_shift_backward_scratch(const mr_runtime *rt, const struct mr_token_shift *s);

/* previous[b] = x[b,T-1]: what the next chunk starts from. */
int mr_token_shift_state(mr_runtime *rt, const struct mr_token_shift *s, const mr_tensor *x, const mr_tensor *previous);

#endif
