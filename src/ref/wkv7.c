/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv7.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/alloc.h"

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

void mr_ref_wkv7_inputs(double *w, double *a, double *k, double *v, double *kappa, const double *v_first,
                        const double *share, const double *k_k, const double *k_a, int rows, int heads, int width)
{
    ptrdiff_t dim = (ptrdiff_t)heads * width;
    for (ptrdiff_t head = 0; head < (ptrdiff_t)rows * heads; head++) {
        double squares = 0;
        for (ptrdiff_t i = head * width; i < (head + 1) * width; i++) {
            kappa[i] = k[i] * k_k[i % dim];
            squares += kappa[i] * kappa[i];
        }
        for (ptrdiff_t i = head * width; i < (head + 1) * width; i++) {
            double rate = sigmoid(a[i]);
            kappa[i] /= fmax(sqrt(squares), 1e-12);
            w[i] = exp(-exp(-0.5) * sigmoid(w[i]));
            a[i] = kappa[i] * rate;
            k[i] *= 1 + (rate - 1) * k_a[i % dim];
            if (v_first)
                v[i] += (v_first[i] - v[i]) * sigmoid(share[i]);
        }
    }
}

/* One position of one head as matrices: S (diag(w) - κ' removal) + v' k, S indexed [value, key]. */
static void step(const double *r, const double *w, const double *k, const double *v, const double *kappa,
                 const double *removal, double *S, double *y, ptrdiff_t N, double *old)
{
    for (ptrdiff_t i = 0; i < N; i++) {
        for (ptrdiff_t j = 0; j < N; j++)
            old[j] = S[j * N + i];
        y[i] = 0;
        for (ptrdiff_t j = 0; j < N; j++) {
            double *s = S + j * N + i;
            *s = v[i] * k[j];
            for (ptrdiff_t m = 0; m < N; m++)
                *s += old[m] * ((m == j ? w[j] : 0) - kappa[m] * removal[j]);
            y[i] += *s * r[j];
        }
    }
}

void mr_ref_wkv7_forward(const double *r, const double *w, const double *k, const double *v, const double *kappa,
                         const double *removal, double *state, double *y, int batch, int time, int heads, int width)
{
    double *room = mr_alloc((size_t)width, sizeof *room);
    for (ptrdiff_t b = 0; room && b < batch; b++)
        for (ptrdiff_t t = 0; t < time; t++)
            for (ptrdiff_t h = 0; h < heads; h++) {
                ptrdiff_t at = ((b * time + t) * heads + h) * width;
                step(r + at, w + at, k + at, v + at, kappa + at, removal + at, state + (b * heads + h) * width * width,
                     y + at, width, room);
            }
    free(room);
}

void mr_ref_wkv7_output(const double *r, const double *k, const double *v, const double *bonus, const double *g,
                        double *y, int rows, int heads, int width)
{
    ptrdiff_t dim = (ptrdiff_t)heads * width;
    for (ptrdiff_t head = 0; head < (ptrdiff_t)rows * heads; head++) {
        double again = 0;
        for (ptrdiff_t i = head * width; i < (head + 1) * width; i++)
            again += r[i] * k[i] * bonus[i % dim];
        for (ptrdiff_t i = head * width; i < (head + 1) * width; i++)
            y[i] = (y[i] + again * v[i]) * g[i];
    }
}
