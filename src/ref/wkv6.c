/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv6.h"

#include <math.h>
#include <stddef.h>

/* One position of one head. */
static void step(const double *r, const double *k, const double *v, const double *w, const double *u, double *state,
                 double *y, int width)
{
    for (int j = 0; j < width; j++) {
        y[j] = 0;
        for (int i = 0; i < width; i++) {
            double *s = state + i * width + j, kv = k[i] * v[j];
            y[j] += r[i] * (*s + u[i] * kv);
            *s = w[i] * *s + kv;
        }
    }
}

void mr_ref_wkv6_forward(const double *r, const double *k, const double *v, const double *w, const double *u,
                         double *state, double *y, int batch, int time, int heads, int width, int varies)
{
    for (ptrdiff_t b = 0; b < batch; b++)
        for (ptrdiff_t t = 0; t < time; t++)
            for (ptrdiff_t h = 0; h < heads; h++) {
                ptrdiff_t at = ((b * time + t) * heads + h) * width;
                step(r + at, k + at, v + at, w + (varies ? at : h * width), u + h * width,
                     state + (b * heads + h) * width * width, y + at, width);
            }
}

void mr_ref_wkv6_decay(const double *decay, const double *x, double *w, int rows, int dim)
{
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t i = 0; i < dim; i++)
            w[row * dim + i] = exp(-exp(decay[i] + (x ? x[row * dim + i] : 0)));
}

void mr_ref_wkv6_heads(const double *decay, const double *first, double *w, double *u, int heads, int width)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)heads * width; i++) {
        w[i] = exp(-exp(decay[i / width]));
        u[i] = exp(first[i / width]);
    }
}
