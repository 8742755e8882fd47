/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parameters that both mixtures have: gate (E,C), experts.N (D,C), fc (C,D), all with biases. */
#ifndef MR_MODEL_LAYERS_EXPERTS_H
#define MR_MODEL_LAYERS_EXPERTS_H

#include "model/layer.h"

#define MR_MAX_EXPERTS 64

int mr_experts_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block);
int mr_experts_find(const struct mr_params *params, const struct mr_config *cfg, const char *prefix,
                    struct mr_linear *gate, struct mr_linear *experts, struct mr_linear *fc);

/* Where some experts are trained: scratch for the gradients of the others' weights. */
int mr_experts_sinks(struct mr_planner *p, const struct mr_linear *experts, int count);

/* A step's products: scores [R,E] of the gate (NULL: none), and o [R,count,D] of the experts. */
int mr_experts_step(mr_workspace *ws, const struct mr_linear *gate, const struct mr_linear *experts, int count,
                    const mr_tensor *x, const mr_tensor *scores, const mr_tensor *o);

#endif
