/* SPDX-License-Identifier: GPL-3.0-or-later
 * Low-rank pairs of matrices: out = base + act(x · down) · up, with down (C,L), up (L,C) and base [C] or none. */
#ifndef MR_MODEL_LAYERS_LOW_RANK_H
#define MR_MODEL_LAYERS_LOW_RANK_H

#include "model/layer.h"

struct mr_low_rank {
    struct mr_param *down, *up, *base;
    enum mr_activation act; /* none, tanh or sigmoid */
    int width;              /* L */
    mr_tensor low, out;     /* act(x · down) [R,L], [R,C] */
    mr_tensor dlow;         /* scratch [R,L] */
};

/* base NULL: the pair has none. */
int mr_low_rank_plan(struct mr_low_rank *pair, struct mr_planner *p, const char *prefix, const char *down,
                     const char *up, const char *base, enum mr_activation act);
int mr_low_rank_forward(mr_workspace *ws, const struct mr_low_rank *pair, const mr_tensor *x);
/* dx is written, or added to; the parameters' gradients are added to. */
int mr_low_rank_backward(mr_workspace *ws, const struct mr_low_rank *pair, const mr_tensor *x, const mr_tensor *dout,
                         const mr_tensor *dx, bool accumulate);

/* The narrow and the wide side of a step's rows: x from element offset_x on, low from offset_low on. */
struct mr_product mr_low_rank_down(const struct mr_low_rank *pair, const mr_tensor *x, size_t offset_x,
                                   const mr_tensor *low, size_t offset_low);
struct mr_product mr_low_rank_up(const struct mr_low_rank *pair, const mr_tensor *low, size_t offset_low);

#endif
