/* SPDX-License-Identifier: GPL-3.0-or-later
 * Planning an export: what export_plan.c, export_moments.c and export_states.c share. */
#ifndef MR_FORMATS_EXPORT_PLAN_H
#define MR_FORMATS_EXPORT_PLAN_H

#include "formats/export.h"
#include "formats/training.h"

struct mr_export_planner {
    struct mr_export *e;
    mr_tensor_file *source;
    const struct mr_naming *naming;
    const struct mr_export_options *options;
    const struct mr_name_rule *rules;
    struct mr_moments moments;
    int widened[MR_DTYPES]; /* tensors whose dtype the target cannot hold */
    int odd_rows;           /* tensors that stay f32 as a row of theirs is not whole blocks */
};

/* Adds the optimizer's moments where the target holds them, else a note. */
int mr_plan_moments(struct mr_export_planner *pl);
/* Adds the state that texts begin with where source and target have one, else a note. */
int mr_plan_states(struct mr_export_planner *pl);
/* Adds the best loss, which checkpoints for torch hold as a tensor. */
int mr_plan_best_loss(struct mr_export_planner *pl);

#endif
