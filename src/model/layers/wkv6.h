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
    mr_tensor gated;              /* [R,C], where a backward follows and there is a gate; else normed */
    mr_tensor mean, rstd;         /* [R,H] */
    mr_tensor kept;               /* of the recurrence */
    mr_tensor slice,
        dslice; /* scratch [R,C], of one of RWKV-6's mixtures, where adapters or other formats of weights ask for it */
    mr_tensor zero; /* scratch [B,H,N,N]: the state of pieces without slots */
    /* Scratch of backward: [R,C]; of the initial state [B,H,N,N]; the recurrence's */
    mr_tensor din[MR_WKV6_INPUTS], dy, dnormed, dgated, dstate, ends, recurrence_scratch, norm_scratch;
};

/* receptance, key, value, gate if there is one, output, ln_x. */
int mr_wkv6_core_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block,
                         bool gate);
/* varies: the decay does. */
int mr_wkv6_core_plan(struct mr_wkv6_core *core, struct mr_planner *planner, const char *prefix, bool gate,
                      bool varies);
/* What u starts as: that of mr_init_bonus, and 0.1 less, none and 0.1 more by turns. */
mr_init_values mr_wkv6_init_bonus;

/* The recurrence of the present group. */
struct mr_wkv6 mr_wkv6_core_shape(const mr_workspace *ws, bool varies);
/* Its state tensors: the row before the first [C], and [H,N,N]. */
int mr_wkv6_core_states(const struct mr_config *cfg, int block, size_t *sizes);

/* core->in[i] from rows [R,C] that begin at element `offset` of x. */
int mr_wkv6_core_input(struct mr_wkv6_core *core, mr_workspace *ws, int i, const mr_tensor *x, size_t offset);
/* y [R,C] from core->in, the decay and u. */
int mr_wkv6_core_forward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, bool varies,
                         const mr_tensor *change, const mr_tensor *u, const mr_tensor *y);

/* What the recurrence took and where the gradients of it go: as in mr_wkv6_gradients. */
struct mr_wkv6_decays {
    bool varies;
    const mr_tensor *change, *u, *dchange, *du;
};
/* From dy to core->din and those of the decays; room [R,C] is written to. */
int mr_wkv6_core_backward(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws,
                          const struct mr_wkv6_decays *decays, const mr_tensor *dy, const mr_tensor *room);
/* From core->din[i] to dx, rows that begin at element `offset` like those of x; dx is written. */
int mr_wkv6_core_input_backward(struct mr_wkv6_core *core, mr_workspace *ws, int i, const mr_tensor *x,
                                const mr_tensor *dx, size_t offset);

/* A step's recurrence, norm and gate, then y = add + output(...). step says the decays alone. */
int mr_wkv6_core_step(struct mr_wkv6_core *core, struct mr_node *node, mr_workspace *ws, struct mr_wkv6_step step,
                      const mr_tensor *add, const mr_tensor *y);

#endif
