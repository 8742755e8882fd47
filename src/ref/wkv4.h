/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv4.h. */
#ifndef MR_REF_WKV4_H
#define MR_REF_WKV4_H

/* k, v, y [B,T,C]; decay, first [C]; state [B,3,C] is read and advanced. */
void mr_ref_wkv4_forward(const double *k, const double *v, const double *decay, const double *first, double *state,
                         double *y, int batch, int time, int dim);

/* Of keys that e^k can hold. */
struct mr_ref_wkv4 {
    int batch, time, dim;
    const double *k, *v, *decay, *first, *state;
};
/* dy goes in; ddecay and dfirst [C] are added to, dk, dv and dstate [B,2,C] are written: that of the numerator and of
 * the denominator at the exponent that they came with. */
struct mr_ref_wkv4_gradients {
    const double *dy;
    double *dk, *dv, *ddecay, *dfirst, *dstate;
};
void mr_ref_wkv4_backward(const struct mr_ref_wkv4 *x, const struct mr_ref_wkv4_gradients *g);

#endif
