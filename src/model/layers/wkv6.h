/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the time mixes of RWKV-5 and 6 share: out = output(ln_x(recurrence(r, k, v)) · silu(gate)). */
#ifndef MR_MODEL_LAYERS_WKV6_H
#define MR_MODEL_LAYERS_WKV6_H

#include "model/layers/init.h"
#include "ops/wkv6.h"
#include "ops/wkv6_step.h"

enum { MR_WKV6_R, MR_WKV6_K, MR_WKV6_V, MR_WKV6_G, MR_WKV6_INPUTS };

struct mr_wkv6_core {
    int inputs; /* MR_WKV6_INPUTS, or one less: no gate */
    struct mr_linear linear[MR_WKV6_INPUTS], output;
    struct mr_param *ln_weight, *ln_bias;
    mr_tensor in[MR_WKV6_INPUTS]; /* r, k, v, gate before silu [R,C] */
    mr_tensor y, normed;          /* [R,C] */
    mr_tensor mean, rstd;         /* [R,H] */
    mr_tensor zero;               /* scratch [B,H,N,N]: the state of pieces without slots */
};

/* receptance, key, value, gate if there is one, output, ln_x. */
int mr_wkv6_core_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, bool gate);
int mr_wkv6_core_plan(struct mr_wkv6_core *core, struct mr_planner *planner, const char *prefix, bool gate);

/* The recurrence of the present group. */
struct mr_wkv6 mr_wkv6_core_shape(const mr_workspace *ws, bool varies);
/* Its state tensors: the row before the first [C], and [H,N,N]. */
int mr_wkv6_core_states(const struct mr_config *cfg, int block, size_t *sizes);

/* core->in[i] from rows [R,C] that begin at element `offset` of x. */
int mr_wkv6_core_input(struct mr_wkv6_core *core, mr_workspace *ws, int i, const mr_tensor *x, size_t offset);
/* y [R,C] from core->in, the decay and u. */
int mr_wkv6_core_forward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, bool varies,
                         const mr_tensor *change, const mr_tensor *u, const mr_tensor *y);

/* A step's recurrence, norm and gate, then y = add + output(...). step says the decays alone. */
int mr_wkv6_core_step(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, struct mr_wkv6_step step,
                      const mr_tensor *add, const mr_tensor *y);

#endif
