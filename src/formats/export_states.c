/* SPDX-License-Identifier: GPL-3.0-or-later
 * The state that texts begin with, in an exported file. */
#include <stdio.h>

#include "formats/export_plan.h"
#include "formats/initial_state.h"

static bool holds_states(int target)
{
    return target == MR_TARGET_MRW || target == MR_TARGET_SAFETENSORS || target == MR_TARGET_RWKV ||
           target == MR_TARGET_ST;
}

static enum mr_dtype dtype_of(const struct mr_export_planner *pl, enum mr_dtype stored)
{
    int wanted = pl->options->dtype;
    enum mr_dtype dtype = wanted >= 0 && mr_dtype_block((enum mr_dtype)wanted) == 1 ? (enum mr_dtype)wanted : stored;
    bool is_float = dtype == MR_DTYPE_F16 || dtype == MR_DTYPE_BF16 || dtype == MR_DTYPE_F64;
    return is_float && mr_target_holds(pl->e->target, dtype) ? dtype : MR_DTYPE_F32;
}

static int add_state(struct mr_export_planner *pl, int block, size_t from)
{
    struct mr_export *e = pl->e;
    char name[64];
    struct mr_recipe recipe;
    MR_TRY(mr_initial_state_recipe(&recipe, pl->source, pl->naming, &e->cfg, from));
    if (e->target == MR_TARGET_ST) /* turned there, and perhaps here already */
        recipe.rows = recipe.columns = recipe.rows ? 0 : (size_t)e->cfg.head_size;
    snprintf(name, sizeof name, MR_INITIAL_STATE, block);
    struct mr_output *o = mr_export_add(e, name, MR_OUTPUT_STATE);
    if (!o)
        return MR_ENOMEM;
    o->parts = 1;
    o->recipe[0] = recipe;
    o->count[0] = recipe.count;
    struct mr_file_tensor *t = &e->tensors[e->count - 1];
    t->dtype = dtype_of(pl, pl->source->tensors[from].dtype);
    t->ndim = 3;
    t->shape[0] = e->cfg.n_embd / e->cfg.head_size;
    t->shape[1] = t->shape[2] = e->cfg.head_size;
    return 0;
}

int mr_plan_states(struct mr_export_planner *pl)
{
    int lost = 0;
    for (int block = 0; block < pl->e->cfg.n_layer; block++) {
        int64_t at = mr_initial_state_find(pl->source, pl->naming, block);
        if (at >= 0 && holds_states(pl->e->target))
            MR_TRY(add_state(pl, block, (size_t)at));
        else
            lost += at >= 0;
    }
    return lost ? mr_export_note(pl->e, "the state that texts begin with: only mrw, safetensors, rwkv and st hold it")
                : 0;
}
