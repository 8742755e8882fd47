/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/attention_step.h, for whole sequences. */
#ifndef MR_REF_ATTENTION_STEP_H
#define MR_REF_ATTENTION_STEP_H

struct mr_ref_attention_step {
    int batch, time, heads, width, window;
    double scale;
    const double *q, *k, *v, *gate; /* [B,T,H*D]; gate may be NULL */
};

/* y [B,T,H*D] */
void mr_ref_attention_step(const struct mr_ref_attention_step *s, double *y);

#endif
