/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/norm_shift.h"

#include <math.h>
#include <stddef.h>

/* One row. */
static void normalise(const struct mr_ref_norm_shift *s, const double *x, double *n)
{
    double mean = 0, squares = 0;
    for (int c = 0; c < s->dim && s->norm == 1; c++)
        mean += x[c] / s->dim;
    for (int c = 0; c < s->dim; c++)
        squares += (x[c] - mean) * (x[c] - mean) / s->dim;
    for (int c = 0; c < s->dim; c++)
        if (s->norm == 1)
            n[c] = (x[c] - mean) / sqrt(squares + s->eps) * s->weight[c] + (s->bias ? s->bias[c] : 0);
        else
            n[c] = s->norm ? x[c] / (sqrt(squares) + s->eps) : x[c];
}

void mr_ref_norm_shift(const struct mr_ref_norm_shift *s, const double *x, const double *const maa[], double *previous,
                       double *out)
{
    ptrdiff_t C = s->dim, all = (ptrdiff_t)s->batch * s->time * C;
    for (ptrdiff_t row = 0; row < (ptrdiff_t)s->batch * s->time; row++) {
        /* n's place is overwritten last */
        double *before = previous + row / s->time * C, *n = out + (s->rest ? s->count : s->count - 1) * all + row * C;
        normalise(s, x + row * C, n);
        for (ptrdiff_t c = 0; c < C; c++) {
            double now = n[c], shift = before[c] - now;
            for (int k = 0; k < s->count; k++)
                out[k * all + row * C + c] = now + shift * (s->keeps ? 1 - maa[k][c] : maa[k][c]);
            if (s->rest)
                n[all + c] = shift;
            before[c] = now;
        }
    }
}
