/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv7_backward.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ref/wkv7.h"

/* One position of one head, whose numbers begin at `at`: S is the state before, `after` the one after it; G the
 * gradient of `after`, which becomes that of S. room holds 2 N numbers. */
static void backward_position(const struct mr_ref_wkv7 *x, const struct mr_ref_wkv7_gradients *g, ptrdiff_t at,
                              const double *S, const double *after, double *G, double *room)
{
    int N = x->width;
    const double *r = x->r + at, *w = x->w + at, *k = x->k + at, *v = x->v + at, *kappa = x->kappa + at;
    const double *out = x->removal + at, *dy = g->dy + at;
    double *removed = room, *dremoved = room + N;
    memset(room, 0, 2 * (size_t)N * sizeof *room);
    for (int j = 0; j < N; j++)
        g->dv[at + j] = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double *d = &G[i * N + j];
            *d += r[i] * dy[j];
            removed[j] += kappa[i] * S[i * N + j];
            dremoved[j] -= *d * out[i];
            g->dv[at + j] += *d * k[i];
        }
    for (int i = 0; i < N; i++) {
        double dr = 0, dw = 0, dk = 0, dout = 0, dkappa = 0;
        for (int j = 0; j < N; j++) {
            double *d = &G[i * N + j], s = S[i * N + j];
            dr += after[i * N + j] * dy[j];
            dw += *d * s;
            dk += *d * v[j];
            dout -= *d * removed[j];
            dkappa += s * dremoved[j];
            *d = w[i] * *d + kappa[i] * dremoved[j];
        }
        g->dr[at + i] = dr;
        g->dw[at + i] = dw;
        g->dk[at + i] = dk;
        g->dremoval[at + i] = dout;
        g->dkappa[at + i] = dkappa;
    }
}

/* One head: states holds [T+1,N,N], the first of them set. */
static void backward_head(const struct mr_ref_wkv7 *x, const struct mr_ref_wkv7_gradients *g, ptrdiff_t base,
                          double *states, double *G, double *room)
{
    ptrdiff_t square = (ptrdiff_t)x->width * x->width, stride = (ptrdiff_t)x->heads * x->width;
    for (int t = 0; t < x->time; t++) {
        ptrdiff_t at = base + t * stride;
        double *S = states + t * square;
        memcpy(S + square, S, (size_t)square * sizeof *S);
        mr_ref_wkv7_forward(x->r + at, x->w + at, x->k + at, x->v + at, x->kappa + at, x->removal + at, S + square,
                            room, 1, 1, 1, x->width);
    }
    for (int t = x->time - 1; t >= 0; t--)
        backward_position(x, g, base + t * stride, states + t * square, states + (t + 1) * square, G, room);
}

void mr_ref_wkv7_backward(const struct mr_ref_wkv7 *x, const struct mr_ref_wkv7_gradients *g)
{
    ptrdiff_t square = (ptrdiff_t)x->width * x->width, dim = (ptrdiff_t)x->heads * x->width;
    double *states = mr_alloc((size_t)(x->time + 1) * (size_t)square, sizeof *states);
    double *room = mr_alloc(2 * (size_t)x->width, sizeof *room);
    for (ptrdiff_t pair = 0; states && room && pair < (ptrdiff_t)x->batch * x->heads; pair++) {
        memcpy(states, x->state + pair * square, (size_t)square * sizeof *states);
        backward_head(x, g, pair / x->heads * x->time * dim + pair % x->heads * x->width, states,
                      g->dstate + pair * square, room);
    }
    free(states);
    free(room);
}
