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
