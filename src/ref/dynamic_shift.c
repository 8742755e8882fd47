/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/dynamic_shift.h"

#include <stddef.h>

void mr_ref_dynamic_shift_forward(const double *x, const double *previous, const double *maa, const double *m,
                                  double *out, int B, int T, int C)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)B * T * C; i++) {
        ptrdiff_t c = i % C, t = i / C % T, b = i / C / T;
        double before = t > 0 ? x[i - C] : previous ? previous[b * C + c] : 0;
        out[i] = x[i] + (before - x[i]) * (maa[c] + m[i]);
    }
}

void mr_ref_dynamic_shift_backward(const double *x, const double *maa, const double *m,
                                   const struct mr_ref_dynamic_shift_gradients *g, int B, int T, int C)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)B * T * C; i++) {
        ptrdiff_t c = i % C, t = i / C % T;
        double share = maa[c] + m[i];
        g->dm[i] = g->dout[i] * ((t > 0 ? x[i - C] : 0) - x[i]);
        g->dmaa[c] += g->dm[i];
        g->dx[i] += g->dout[i] * (1 - share);
        if (t > 0)
            g->dx[i - C] += g->dout[i] * share;
    }
}
