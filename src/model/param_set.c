/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/param_set.h"

#include <stdlib.h>

#include "base/alloc.h"

int mr_param_set_plan(struct mr_param_set *set, mr_plan *plan, const struct mr_params *params, enum mr_memory kind)
{
    set->kind = kind;
    set->list = mr_alloc((size_t)params->count, sizeof *set->list);
    if (!set->list)
        return MR_ENOMEM;
    for (int group = 0; group < MR_PARAM_TRAINED_GROUPS; group++)
        for (int i = 0; i < params->count; i++)
            if (mr_param_group(params->list[i]) == group)
                MR_TRY(mr_plan_add(plan, kind, &set->list[i], MR_F32, params->list[i]->count));
    return 0;
}

int mr_param_set_create(struct mr_param_set *set, mr_model *model, enum mr_memory kind, bool force)
{
    mr_plan *plan = NULL;
    int err;
    *set = (struct mr_param_set){.model = mr_model_share(model)};
    MR_GO(mr_plan_create(&plan, mr_runtime_info(model->rt)));
    MR_GO(mr_param_set_plan(set, plan, &model->params, kind));
    MR_GO(mr_plan_allocate(plan, model->rt, force, &set->arena));
fail:
    mr_plan_free(plan);
    if (err)
        mr_param_set_free(set);
    return err;
}

void mr_param_set_free(struct mr_param_set *set)
{
    if (set->arena)
        mr_arena_free(set->model->rt, set->arena);
    free(set->list);
    mr_model_free(set->model);
    *set = (struct mr_param_set){0};
}

const mr_tensor *mr_param_set_segments(const struct mr_param_set *set, int *count)
{
    return mr_arena_segments(set->arena, set->kind, count);
}

int mr_param_set_zero(const struct mr_param_set *set)
{
    int count;
    const mr_tensor *segments = mr_param_set_segments(set, &count);
    for (int i = 0; i < count; i++)
        MR_TRY(mr_zero(set->model->rt, &segments[i]));
    return 0;
}
