/* SPDX-License-Identifier: GPL-3.0-or-later
 * The optimizer's moments and the best loss of an exported checkpoint. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "formats/export_plan.h"
#include "model/layer.h"

static int add_moment(struct mr_export_planner *pl, const char *name, int index, int which)
{
    struct mr_export *e = pl->e;
    const struct mr_param *p = e->params.list[index];
    const struct mr_place same = {.change = MR_SAME};
    int64_t at = mr_moments_find(&pl->moments, pl->source, &e->params, index, which);
    struct mr_output *o = mr_export_add(e, name, MR_OUTPUT_MOMENT);
    if (!o)
        return MR_ENOMEM;
    struct mr_file_tensor *t = &e->tensors[e->count - 1];
    o->parts = 1;
    o->param[0] = index;
    o->count[0] = p->count;
    t->ndim = p->ndim;
    for (int d = 0; d < p->ndim; d++)
        t->shape[d] = (int64_t)p->shape[d];
    return at < 0 ? 0 : mr_recipe_of(&o->recipe[0], pl->source, (size_t)at, &same, p);
}

static int add_own_moments(struct mr_export_planner *pl)
{
    char name[MR_NAME + 16];
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < pl->e->params.count; i++) {
            snprintf(name, sizeof name, "adamw.%c.%s", "mv"[which], pl -> e -> params.list[i]->name);
            MR_TRY(add_moment(pl, name, i, which));
        }
    }
    return 0;
}

static int add_number(struct mr_export *e, const char *name, float number)
{
    struct mr_output *o = mr_export_add(e, name, MR_OUTPUT_NUMBER);
    if (!o)
        return MR_ENOMEM;
    o->number = number;
    return 0;
}

static int add_torch_moments(struct mr_export_planner *pl, const int *numbers, float steps)
{
    struct mr_export *e = pl->e;
    char name[64];
    for (int number = 0; number < e->params.count; number++) {
        int i = 0;
        while (numbers[i] != number)
            i++;
        snprintf(name, sizeof name, "optimizer.state.%d.step", number);
        MR_TRY(add_number(e, name, steps));
        snprintf(name, sizeof name, "optimizer.state.%d.exp_avg", number);
        MR_TRY(add_moment(pl, name, i, 0));
        snprintf(name, sizeof name, "optimizer.state.%d.exp_avg_sq", number);
        MR_TRY(add_moment(pl, name, i, 1));
    }
    return 0;
}

/* The optimizer's state of a checkpoint for torch, numbered as it was there, else as nanoGPT does. */
static int add_torch_state(struct mr_export_planner *pl)
{
    struct mr_training training;
    bool found;
    int decayed, *own = NULL, err;
    const int *numbers = pl->moments.numbers;
    MR_TRY(mr_training_read(pl->source, &training, &found));
    float steps = (float)training.optimizer_steps;
    mr_training_free(&training);
    if (!numbers)
        numbers = own = mr_torch_numbers(&pl->e->params, &decayed);
    err = numbers ? add_torch_moments(pl, numbers, steps) : MR_ENOMEM;
    free(own);
    return err;
}

int mr_plan_moments(struct mr_export_planner *pl)
{
    if (pl->moments.unknown)
        return mr_export_note(pl->e, "the optimizer's state: its tensors do not fit the model's parameters");
    if (pl->moments.kind == MR_MOMENTS_NONE)
        return 0;
    if (pl->e->target == MR_TARGET_MRW)
        return add_own_moments(pl);
    if (pl->e->target == MR_TARGET_NANOGPT)
        return add_torch_state(pl);
    return mr_export_note(pl->e, "the optimizer and training state: only mrw and nanogpt hold them");
}

int mr_plan_best_loss(struct mr_export_planner *pl)
{
    struct mr_training training;
    bool found;
    if (pl->e->target != MR_TARGET_NANOGPT)
        return 0;
    MR_TRY(mr_training_read(pl->source, &training, &found));
    float best = (float)training.best_val_loss;
    mr_training_free(&training);
    return found ? add_number(pl->e, "best_val_loss", best) : 0;
}
