/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/norm_shift.h, for whole sequences. */
#ifndef MR_REF_NORM_SHIFT_H
#define MR_REF_NORM_SHIFT_H

struct mr_ref_norm_shift {
    int batch, time, dim, count;
    int norm;        /* 0 none, 1 LayerNorm, 2 RMSNorm */
    int keeps, rest; /* as in ops/norm_shift.h */
    double eps;
    const double *weight, *bias; /* bias may be NULL */
};

/* x [B,T,C]; maa[k] [C]; previous [B,C] is read and advanced; out [count (+ 2),B,T,C]. */
void mr_ref_norm_shift(const struct mr_ref_norm_shift *s, const double *x, const double *const maa[], double *previous,
                       double *out);

#endif
