/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/time_mix.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

/* One head over all positions; S [N,N] is read and advanced. Rows lie `stride` apart. */
static void forward_head(const double *r, const double *k, const double *v, double w, double u, double *S, double *y,
                         int time, int width, ptrdiff_t stride)
{
    for (int t = 0; t < time; t++, r += stride, k += stride, v += stride, y += stride)
        for (int j = 0; j < width; j++) {
            y[j] = 0;
            for (int i = 0; i < width; i++) {
                double *s = &S[i * width + j], kv = k[i] * v[j];
                y[j] += r[i] * (*s + u * kv);
                *s = w * *s + kv;
            }
        }
}

void mr_ref_time_mix_forward(const double *r, const double *k, const double *v, const double *decay,
                             const double *faaaa, double *state, double *y, int batch, int time, int heads, int width)
{
    size_t square = (size_t)width * (size_t)width;
    ptrdiff_t stride = (ptrdiff_t)heads * width;
    for (int b = 0; b < batch; b++)
        for (int h = 0; h < heads; h++) {
            double *own = mr_alloc(square, sizeof *own);
            double *S = state ? state + (size_t)(b * heads + h) * square : own;
            ptrdiff_t at = b * time * stride + h * width;
            forward_head(r + at, k + at, v + at, exp(-exp(decay[h])), faaaa[h], S, y + at, time, width, stride);
            free(own);
        }
}

struct head {
    const double *r, *k, *v, *dy;
    double *dr, *dk, *dv;
    double w, u, dw, du;
};

/* One position backwards: S is the state before it, G the gradient of the state after it, which becomes that of S. */
static void backward_position(struct head *head, const double *S, double *G, ptrdiff_t at, int width)
{
    const double *r = head->r + at, *k = head->k + at, *v = head->v + at, *dy = head->dy + at;
    for (int i = 0; i < width; i++)
        for (int j = 0; j < width; j++) {
            const double s = S[i * width + j], kv = k[i] * v[j];
            double *g = &G[i * width + j], dkv = *g + head->u * r[i] * dy[j];
            head->dr[at + i] += (s + head->u * kv) * dy[j];
            head->dk[at + i] += dkv * v[j];
            head->dv[at + j] += dkv * k[i];
            head->du += r[i] * kv * dy[j];
            head->dw += *g * s;
            *g = head->w * *g + r[i] * dy[j];
        }
}

/* All states are stored, [T,N,N]. */
static void backward_head(struct head *head, int time, int width, ptrdiff_t stride)
{
    size_t square = (size_t)width * (size_t)width;
    double *states = mr_alloc((size_t)time * square, sizeof *states), *G = mr_alloc(square, sizeof *G);
    for (int t = 0; t + 1 < time; t++)
        for (int i = 0; i < width; i++)
            for (int j = 0; j < width; j++) {
                double *s = &states[(size_t)t * square + (size_t)(i * width + j)];
                s[square] = head->w * *s + head->k[t * stride + i] * head->v[t * stride + j];
            }
    for (int t = time; t-- > 0;) {
        for (int i = 0; i < width; i++)
            head->dr[t * stride + i] = head->dk[t * stride + i] = head->dv[t * stride + i] = 0;
        backward_position(head, states + (size_t)t * square, G, t * stride, width);
    }
    free(states);
    free(G);
}

void mr_ref_time_mix_backward(const double *r, const double *k, const double *v, const double *decay,
                              const double *faaaa, const struct mr_ref_time_mix_gradients *g, int batch, int time,
                              int heads, int width)
{
    ptrdiff_t stride = (ptrdiff_t)heads * width;
    for (int b = 0; b < batch; b++)
        for (int h = 0; h < heads; h++) {
            ptrdiff_t at = b * time * stride + h * width;
            struct head head = {.r = r + at,
                                .k = k + at,
                                .v = v + at,
                                .dy = g->dy + at,
                                .dr = g->dr + at,
                                .dk = g->dk + at,
                                .dv = g->dv + at,
                                .w = exp(-exp(decay[h])),
                                .u = faaaa[h]};
            backward_head(&head, time, width, stride);
            g->ddecay[h] += head.dw * -exp(decay[h]) * head.w;
            g->dfaaaa[h] += head.du;
        }
}
