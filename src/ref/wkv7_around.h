/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv7_around.h: gradients of what surrounds the recurrence. */
#ifndef MR_REF_WKV7_AROUND_H
#define MR_REF_WKV7_AROUND_H

/* rows of heads*width; v_first NULL: v stays, and share, dshare and dv_first are not looked at. */
struct mr_ref_wkv7_inputs {
    int rows, heads, width;
    const double *w, *a, *k, *v, *v_first, *share, *k_k, *k_a;
};
/* In place: dw is first that of the decay, da of removal, dk and dv of what k and v become. dkappa goes in, dshare is
 * written, dv_first, dk_k and dk_a are added to. */
struct mr_ref_wkv7_inputs_gradients {
    double *dw, *da, *dk, *dv, *dshare, *dv_first, *dk_k, *dk_a;
    const double *dkappa;
};
void mr_ref_wkv7_inputs_backward(const struct mr_ref_wkv7_inputs *x, const struct mr_ref_wkv7_inputs_gradients *g);

/* y = (x + (sum of r k bonus) v) g: dy goes in, dbonus is added to, the others are written. */
struct mr_ref_wkv7_output {
    int rows, heads, width;
    const double *r, *k, *v, *bonus, *g, *x;
};
struct mr_ref_wkv7_output_gradients {
    const double *dy;
    double *dr, *dk, *dv, *dg, *dx, *dbonus;
};
void mr_ref_wkv7_output_backward(const struct mr_ref_wkv7_output *x, const struct mr_ref_wkv7_output_gradients *g);

#endif
