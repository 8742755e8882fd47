/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv6_step.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "ref/group_norm.h"
#include "ref/silu_gate.h"
#include "ref/time_mix.h"
#include "ref/wkv6.h"

/* w and u have room for the decays of all positions and for H*N numbers. */
static void recurrence(const struct mr_ref_wkv6_step *s, double *w, double *u, double *state, double *y)
{
    int dim = s->heads * s->width, varies = s->decays == 3;
    if (s->decays == 0) {
        mr_ref_time_mix_forward(s->r, s->k, s->v, s->decay, s->u, state, y, s->batch, s->time, s->heads, s->width);
        return;
    }
    if (s->decays == 1)
        mr_ref_wkv6_heads(s->decay, s->u, w, u, s->heads, s->width);
    else
        mr_ref_wkv6_decay(s->decay, varies ? s->x : NULL, w, varies ? s->batch * s->time : 1, dim);
    mr_ref_wkv6_forward(s->r, s->k, s->v, w, s->decays == 1 ? u : s->u, state, y, s->batch, s->time, s->heads, s->width,
                        varies);
}

void mr_ref_wkv6_step(const struct mr_ref_wkv6_step *s, double *state, double *y)
{
    size_t dim = (size_t)s->heads * (size_t)s->width, rows = (size_t)s->batch * (size_t)s->time, n = rows * dim;
    double *w = mr_alloc(2 * n + dim + 2 * rows * (size_t)s->heads, sizeof *w);
    if (!w)
        return;
    double *u = w + n, *raw = u + dim, *mean = raw + n, *rstd = mean + rows * (size_t)s->heads;
    recurrence(s, w, u, state, raw);
    mr_ref_group_norm_forward(raw, s->weight, s->bias, y, mean, rstd, (int)rows, s->heads, s->width, s->eps);
    for (size_t i = 0; i < n; i++)
        raw[i] = y[i];
    if (s->gate)
        mr_ref_silu_gate_forward(raw, s->gate, y, n);
    free(w);
}
