/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/wkv7.h. */
#ifndef MR_REF_WKV7_H
#define MR_REF_WKV7_H

/* w becomes the decay itself. rows of heads*width */
void mr_ref_wkv7_inputs(double *w, double *a, double *k, double *v, double *kappa, const double *v_first,
                        const double *share, const double *k_k, const double *k_a, int rows, int heads, int width);
/* w the decay, removal = kappa times its rate; state [B,H,N,N], [key, value], is read and advanced. */
void mr_ref_wkv7_forward(const double *r, const double *w, const double *k, const double *v, const double *kappa,
                         const double *removal, double *state, double *y, int batch, int time, int heads, int width);
void mr_ref_wkv7_output(const double *r, const double *k, const double *v, const double *bonus, const double *g,
                        double *y, int rows, int heads, int width);

#endif
