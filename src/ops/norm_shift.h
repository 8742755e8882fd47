/* SPDX-License-Identifier: GPL-3.0-or-later
 * Norm, token shift and mixing of a decoding step in one launch: n = norm(x), out_k = n + (prev - n) * maa_k for up to
 * 6 mixtures at once, prev being the n of the text's token before (ops/token_shift.h). With `keeps` maa_k is the share
 * of n: out_k = prev + (n - prev) * maa_k. */
#ifndef MR_OPS_NORM_SHIFT_H
#define MR_OPS_NORM_SHIFT_H

#include "ops/slots.h"

enum mr_norm_kind { MR_NORM_NONE, MR_NORM_LAYER, MR_NORM_RMS };

struct mr_norm_shift {
    int rows, dim; /* R, C */
    int count;     /* mixtures, 1 to 6 */
    bool keeps;
    bool rest; /* out ends with n and prev - n */
    enum mr_norm_kind norm;
    const mr_tensor *weight, *bias; /* [C], of MR_NORM_LAYER; bias may be NULL */
    float eps;
    struct mr_slots slots; /* [C]: prev before, n after */
};

/* x [R,C], maa[k] [C], out [count,R,C], with `rest` [count+2,R,C]; out is not x. */
int mr_norm_shift_step(mr_runtime *rt, const struct mr_norm_shift *s, const mr_tensor *x, const mr_tensor *const maa[],
                       const mr_tensor *out);

#endif
