/* SPDX-License-Identifier: GPL-3.0-or-later
 * Causal attention over the last W positions (W >= T: over all), per head of `width` floats:
 *     y_t = sum_s p_ts v_s over t-W < s <= t, p_t the softmax of scale * q_t.k_s
 * q, k, v are columns of one tensor. With rings of the last W keys and values a sequence can be computed in any
 * pieces: forward, then append. */
#ifndef MR_OPS_WINDOW_ATTENTION_H
#define MR_OPS_WINDOW_ATTENTION_H

#include "ops/dropout.h"

enum { MR_WINDOW_ATTENTION_WIDTH = 192 };

struct mr_window_attention {
    int batch, time, heads, width, window; /* B, T, H, D, W; D at most MR_WINDOW_ATTENTION_WIDTH */
    float scale;
    int stride;       /* floats in a row of qkv [B*T,stride] */
    int q, k, v;      /* where a row's H*D columns of each begin */
    int64_t position; /* of the first of the T positions; position p is in slot p % W of the rings */
    const struct mr_dropout
        *dropout;          /* of the softmax's weights, in forward without rings and in backward; NULL: none */
    const mr_tensor *kept; /* scratch for its mask, mr_window_attention_kept elements */
};

/* Words of the mask [B,H,T,words] of dropout, words even: weight p_ts is element s of row (b*H+h)*T+t. */
size_t mr_window_attention_kept(const struct mr_window_attention *s);

/* Floats of scratch that backward takes for a shape of at most this batch and time. */
size_t mr_window_attention_scratch(const struct mr_window_attention *s);

/* y [B*T,H*D], not in place. lse [B,H,T], the logarithms of the softmax's denominators, is for backward and may be
 * NULL. ring_k and ring_v [B,W,H*D] hold the positions before `position`; both NULL: there are none. */
int mr_window_attention_forward(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                                const mr_tensor *ring_k, const mr_tensor *ring_v, const mr_tensor *y,
                                const mr_tensor *lse);

/* Puts the last min(T, W) positions of qkv into the rings. */
int mr_window_attention_append(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                               const mr_tensor *ring_k, const mr_tensor *ring_v);

/* Of a forward without rings. dqkv is laid out as qkv (not in place): its q, k and v columns are written, others stay.
 */
int mr_window_attention_backward(mr_runtime *rt, const struct mr_window_attention *s, const mr_tensor *qkv,
                                 const mr_tensor *y, const mr_tensor *lse, const mr_tensor *dy, const mr_tensor *dqkv,
                                 const mr_tensor *scratch);

#endif
