/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/token_shift.h"

#include <stddef.h>

void mr_ref_token_shift_forward(const double *x, const double *previous, const double *maa, double *out, int B, int T,
                                int C)
{
    for (ptrdiff_t b = 0; b < B; b++)
        for (ptrdiff_t t = 0; t < T; t++)
            for (ptrdiff_t c = 0; c < C; c++) {
                ptrdiff_t i = (b * T + t) * C + c;
                double prev = t > 0 ? x[i - C] : previous ? previous[b * C + c] : 0;
                out[i] = x[i] + (prev - x[i]) * maa[c];
            }
}

void mr_ref_token_shift_backward(const double *x, const double *maa, const double *dout, double *dx, double *dmaa,
                                 int B, int T, int C)
{
    for (ptrdiff_t b = 0; b < B; b++)
        for (ptrdiff_t t = 0; t < T; t++)
            for (ptrdiff_t c = 0; c < C; c++) {
                ptrdiff_t i = (b * T + t) * C + c;
                dx[i] += dout[i] * (1 - maa[c]);
                if (t > 0)
                    dx[i - C] += dout[i] * maa[c];
                dmaa[c] += dout[i] * ((t > 0 ? x[i - C] : 0) - x[i]);
            }
}
