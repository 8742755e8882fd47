/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv7_step.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ref/group_norm.h"
#include "ref/wkv7.h"

void mr_ref_wkv7_step(const struct mr_ref_wkv7_step *s, double *state, double *y)
{
    int H = s->heads, N = s->width, rows = s->batch * s->time;
    size_t units = (size_t)rows * (size_t)H, n = units * (size_t)N;
    double *w = mr_alloc(6 * n + 2 * units, sizeof *w);
    if (!w)
        return;
    double *a = w + n, *k = a + n, *v = k + n, *kappa = v + n, *raw = kappa + n, *mean = raw + n, *rstd = mean + units;
    memcpy(w, s->w, n * sizeof *w);
    memcpy(a, s->a, n * sizeof *w);
    memcpy(k, s->k, n * sizeof *w);
    memcpy(v, s->v, n * sizeof *w);
    mr_ref_wkv7_inputs(w, a, k, v, kappa, s->v_first, s->share, s->k_k, s->k_a, rows, H, N);
    mr_ref_wkv7_forward(s->r, w, k, v, kappa, a, state, raw, s->batch, s->time, H, N);
    mr_ref_group_norm_forward(raw, s->weight, s->bias, y, mean, rstd, rows, H, N, s->eps);
    mr_ref_wkv7_output(s->r, k, v, s->r_k, s->g, y, rows, H, N);
    free(w);
}
