/* SPDX-License-Identifier: GPL-3.0-or-later
 * Adapters of linear layers: y = W x + scale B (A drop(x)), A [rank,in], B [out,rank], scale = alpha / rank. */
#ifndef MR_MODEL_LORA_H
#define MR_MODEL_LORA_H

#include "model/workspace.h"

/* Declares A and B of the weights that `tuning` names. MR_EINVAL: it names none. */
int mr_lora_declare(struct mr_params *params, const struct mr_tuning *tuning);
/* Draws A uniformly within 1/sqrt(in), as torch's linear layers start; B is 0, so that the model begins as it was. */
int mr_lora_init(mr_model *model, uint64_t seed);

/* ---- for layers --------------------------------------------------------------------------------------------- */

int mr_lora_plan(mr_workspace *ws, mr_plan *plan, const struct mr_params *params, size_t rows);
/* y += the adapter's part */
int mr_lora_forward(mr_workspace *ws, const struct mr_param *weight, const mr_tensor *x, const mr_tensor *y);
/* Adds the gradients of A and B, and to dx (NULL: not wanted) that of x through them. */
int mr_lora_backward(mr_workspace *ws, const struct mr_param *weight, const mr_tensor *x, const mr_tensor *dy,
                     const mr_tensor *dx);

#endif
