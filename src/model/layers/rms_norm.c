/* SPDX-License-Identifier: GPL-3.0-or-later
 * MicroRWKV's norm without a weight: y = x / (|x|·C^-½ + 1e-8). */
#include "model/layer.h"
#include "model/workspace.h"
#include "ops/rms_norm.h"

struct rms {
    mr_tensor rstd; /* [R] */
    mr_tensor y;    /* the output of the last forward, not owned */
};

static int plan(struct mr_node *node, struct mr_planner *planner)
{
    struct rms *own = node->own;
    return mr_keep(planner, &own->rstd, planner->rows);
}

static int forward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y)
{
    struct rms *own = node->own;
    own->y = *y;
    return mr_rms_norm_forward(ws->rt, x, y, &own->rstd, ws->rows, ws->cfg->n_embd, 1e-8f);
}

static int backward(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx)
{
    (void)x;
    struct rms *own = node->own;
    return mr_rms_norm_backward(ws->rt, &own->y, &own->rstd, dy, dx, ws->rows, ws->cfg->n_embd, false);
}

static void norm(const struct mr_node *node, struct mr_norm *norm)
{
    (void)node;
    *norm = (struct mr_norm){.kind = MR_NORM_RMS, .eps = 1e-8f};
}

const struct mr_layer mr_layer_rms_norm = {
    .name = "rms_norm",
    .own = sizeof(struct rms),
    .plan = plan,
    .forward = forward,
    .norm = norm,
    .backward = backward,
};
