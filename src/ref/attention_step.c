/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/attention_step.h"

#include <stddef.h>

#include "ref/window_attention.h"

void mr_ref_attention_step(const struct mr_ref_attention_step *s, double *y)
{
    mr_ref_window_attention_forward(s->q, s->k, s->v, y, NULL, s->batch, s->time, s->heads, s->width, s->window,
                                    s->scale, NULL);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)s->batch * s->time * s->heads * s->width && s->gate; i++)
        y[i] *= s->gate[i];
}
