/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv4.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/alloc.h"

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

/* One channel: position t lies at at + t * dim. kept [T + 1,3] are the states. */
static void backward_channel(const struct mr_ref_wkv4 *x, const struct mr_ref_wkv4_gradients *g, ptrdiff_t b,
                             ptrdiff_t c, double *kept)
{
    ptrdiff_t dim = x->dim, at = b * x->time * dim + c;
    double fall = exp(x->decay[c]), y, above = 0, below = 0;
    for (int i = 0; i < 3; i++)
        kept[i] = x->state[(b * 3 + i) * dim + c];
    for (ptrdiff_t t = 0; t < x->time; t++) {
        double *next = kept + 3 * (t + 1);
        for (int i = 0; i < 3; i++)
            next[i] = next[i - 3];
        mr_ref_wkv4_forward(x->k + at + t * dim, x->v + at + t * dim, x->decay + c, x->first + c, next, &y, 1, 1, 1);
    }
    /* above and below: the gradients of the numerator and the denominator themselves, without an exponent */
    for (ptrdiff_t t = x->time - 1; t >= 0; t--) {
        ptrdiff_t i = at + t * dim;
        double scale = exp(kept[3 * t + 2]), a = kept[3 * t] * scale, d = kept[3 * t + 1] * scale;
        double key = exp(x->k[i]), own = exp(x->first[c] + x->k[i]), all = d + own;
        y = (a + own * x->v[i]) / all;
        g->dk[i] = own / all * g->dy[i] * (x->v[i] - y) + key * (above * x->v[i] + below);
        g->dv[i] = own / all * g->dy[i] + key * above;
        g->dfirst[c] += own / all * g->dy[i] * (x->v[i] - y);
        g->ddecay[c] -= fall * exp(-fall) * (above * a + below * d);
        above = exp(-fall) * above + g->dy[i] / all;
        below = exp(-fall) * below - g->dy[i] * y / all;
    }
    g->dstate[b * 2 * dim + c] = above * exp(kept[2]);
    g->dstate[(b * 2 + 1) * dim + c] = below * exp(kept[2]);
}

void mr_ref_wkv4_backward(const struct mr_ref_wkv4 *x, const struct mr_ref_wkv4_gradients *g)
{
    double *kept = mr_alloc(3 * ((size_t)x->time + 1), sizeof *kept);
    for (ptrdiff_t b = 0; kept && b < x->batch; b++)
        for (ptrdiff_t c = 0; c < x->dim; c++)
            backward_channel(x, g, b, c, kept);
    free(kept);
}
