/* SPDX-License-Identifier: GPL-3.0-or-later
 * What run.c and step.c share. */
#ifndef MR_MODEL_STEP_H
#define MR_MODEL_STEP_H

#include "model/workspace.h"

/* The rows of the present step (ws->host holds their tokens, slots and positions) through all layers to ws->final. */
int mr_step_forward(mr_workspace *ws);
/* The same, and their logits: those of row i become row at[i] of ws->logits, unless it is negative. */
int mr_step_run(mr_workspace *ws, const int *at);

/* A layer norm over the group's rows. */
int mr_norm_forward(mr_workspace *ws, struct mr_param *weight, struct mr_param *bias, const mr_tensor *x,
                    const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd);
/* From the residual to ws->final. */
int mr_final_norm(mr_workspace *ws, const mr_tensor *x);
/* Notes the first place whose rows [R,C] hold something that is no finite number; see mr_first_not_finite. */
int mr_look(mr_workspace *ws, const mr_tensor *x, const char *place);

#endif
