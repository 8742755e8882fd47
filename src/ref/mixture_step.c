/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/mixture_step.h"

#include <stddef.h>

#include "ref/mixture.h"
#include "ref/mixture_topk.h"

void mr_ref_mixture_step_weights(const double *logits, double *weights, int rows, int experts, int active, int dense)
{
    double scores[64], chosen[64];
    int choice[64];
    for (ptrdiff_t row = 0; row < rows; row++) {
        double *to = weights + row * experts;
        mr_ref_softmax_forward(logits + row * experts, scores, 1, experts);
        mr_ref_topk_route(scores, choice, chosen, 1, experts, active);
        for (int e = 0; e < experts; e++)
            to[e] = dense && e < active ? scores[e] : 0;
        for (int a = 0; a < active && !dense; a++)
            to[choice[a]] = chosen[a];
    }
}

void mr_ref_mixture_step(const double *weights, const double *o, double *h, int rows, int experts, int dim)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * dim; i++) {
        ptrdiff_t row = i / dim;
        h[i] = 0;
        for (int e = 0; e < experts; e++)
            h[i] += weights[row * experts + e] * o[(row * experts + e) * dim + i % dim];
    }
}
