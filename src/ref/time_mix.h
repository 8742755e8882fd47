/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/time_mix.h: the recurrence, position by position. */
#ifndef MR_REF_TIME_MIX_H
#define MR_REF_TIME_MIX_H

/* r, k, v, y [B,T,H*N], decay and faaaa [H], state [B,H,N,N] (NULL: 0 before, not kept) read and advanced. */
void mr_ref_time_mix_forward(const double *r, const double *k, const double *v, const double *decay,
                             const double *faaaa, double *state, double *y, int batch, int time, int heads, int width);
/* dy goes in; dr, dk, dv are written, ddecay and dfaaaa accumulate. */
struct mr_ref_time_mix_gradients {
    const double *dy;
    double *dr, *dk, *dv, *ddecay, *dfaaaa;
};

/* From a zero state, without a gradient of the last one. */
void mr_ref_time_mix_backward(const double *r, const double *k, const double *v, const double *decay,
                              const double *faaaa, const struct mr_ref_time_mix_gradients *g, int batch, int time,
                              int heads, int width);

#endif
