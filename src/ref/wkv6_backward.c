/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv6_backward.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ref/wkv6.h"

/* One position of one head, whose numbers begin at `at`, its decays and bonuses at `w` and `u`: S is the state before,
 * G the gradient of the state after it, which becomes that of S. */
static void backward_position(const struct mr_ref_wkv6 *x, const struct mr_ref_wkv6_gradients *g, ptrdiff_t at,
                              ptrdiff_t w, ptrdiff_t u, const double *S, double *G)
{
    int N = x->width;
    const double *dy = g->dy + at;
    double bonus = 0, product = 0;
    for (int i = 0; i < N; i++) {
        bonus += x->r[at + i] * x->u[u + i] * x->k[at + i];
        product += x->v[at + i] * dy[i];
    }
    for (int j = 0; j < N; j++)
        g->dv[at + j] = bonus * dy[j];
    for (int i = 0; i < N; i++) {
        double r = x->r[at + i], k = x->k[at + i], dr = 0, dk = 0;
        for (int j = 0; j < N; j++) {
            double *d = &G[i * N + j], s = S[i * N + j];
            dr += s * dy[j];
            dk += *d * x->v[at + j];
            g->dv[at + j] += *d * k;
            g->dw[w + i] += *d * s;
            *d = x->w[w + i] * *d + r * dy[j];
        }
        g->dr[at + i] = dr + x->u[u + i] * k * product;
        g->dk[at + i] = dk + x->u[u + i] * r * product;
        g->du[u + i] += r * k * product;
    }
}

void mr_ref_wkv6_backward(const struct mr_ref_wkv6 *x, const struct mr_ref_wkv6_gradients *g)
{
    ptrdiff_t N = x->width, square = N * N, dim = x->heads * N;
    double *states = mr_alloc((size_t)(x->time + 1) * (size_t)square, sizeof *states);
    double *y = mr_alloc((size_t)N, sizeof *y);
    for (ptrdiff_t pair = 0; states && y && pair < (ptrdiff_t)x->batch * x->heads; pair++) {
        ptrdiff_t base = pair / x->heads * x->time * dim + pair % x->heads * N, u = pair % x->heads * N;
        memcpy(states, x->state + pair * square, (size_t)square * sizeof *states);
        for (ptrdiff_t t = 0; t < x->time; t++) {
            ptrdiff_t at = base + t * dim;
            double *next = states + (t + 1) * square;
            memcpy(next, next - square, (size_t)square * sizeof *next);
            mr_ref_wkv6_forward(x->r + at, x->k + at, x->v + at, x->w + (x->varies ? at : u), x->u + u, next, y, 1, 1,
                                1, x->width, 1);
        }
        for (ptrdiff_t t = x->time - 1; t >= 0; t--) {
            ptrdiff_t at = base + t * dim;
            backward_position(x, g, at, x->varies ? at : u, u, states + t * square, g->dstate + pair * square);
        }
    }
    free(states);
    free(y);
}

void mr_ref_wkv6_decay_backward(const double *decay, const double *x, double *dw, int rows, int dim)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * dim; i++) {
        double rate = exp(decay[i % dim] + (x ? x[i] : 0));
        dw[i] *= -rate * exp(-rate);
    }
}

void mr_ref_wkv6_heads_backward(const double *decay, const double *first, const double *dw, const double *du,
                                double *ddecay, double *dfirst, int heads, int width)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)heads * width; i++) {
        double rate = exp(decay[i / width]);
        ddecay[i / width] -= dw[i] * rate * exp(-rate);
        dfirst[i / width] += du[i] * exp(first[i / width]);
    }
}
