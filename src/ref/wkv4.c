/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv4.h"

#include <math.h>
#include <stddef.h>

void mr_ref_wkv4_forward(const double *k, const double *v, const double *decay, const double *first, double *state,
                         double *y, int batch, int time, int dim)
{
    for (ptrdiff_t b = 0; b < batch; b++)
        for (ptrdiff_t c = 0; c < dim; c++) {
            double *above = state + b * 3 * dim + c, *below = above + dim, *power = below + dim;
            if (*below == 0)
                *power = -1e300;
            for (ptrdiff_t t = 0; t < time; t++) {
                ptrdiff_t at = (b * time + t) * dim + c;
                double q = fmax(*power, first[c] + k[at]), old = exp(*power - q), own = exp(first[c] + k[at] - q);
                y[at] = (old * *above + own * v[at]) / (old * *below + own);
                q = fmax(*power - exp(decay[c]), k[at]);
                old = exp(*power - exp(decay[c]) - q);
                own = exp(k[at] - q);
                *above = old * *above + own * v[at];
                *below = old * *below + own;
                *power = q;
            }
        }
}
