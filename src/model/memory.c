/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/memory.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { CHUNK = 256 }; /* positions of a prompt read in one call */

void mr_decoding_options(struct mr_workspace_options *options, const struct mr_config *cfg, int sequences)
{
    *options = (struct mr_workspace_options){.batch = 1, .time = CHUNK, .steps = sequences, .logits = sequences};
    if (cfg->positions == MR_POSITIONS_LEARNED && cfg->block_size < CHUNK)
        options->time = cfg->block_size;
}

static int plan_states(mr_plan *plan, const struct mr_config *cfg, int slots, const mr_runtime *rt)
{
    mr_states *states = mr_alloc(1, sizeof *states);
    if (!states)
        return MR_ENOMEM;
    states->slots = slots;
    int err = mr_states_plan(states, plan, cfg, mr_runtime_info(rt));
    mr_states_free(states);
    return err;
}

static int plan_optimizer(mr_plan *plan, const struct mr_params *params, const struct mr_tuning *tuning)
{
    const enum mr_memory kinds[] = {MR_GRADIENTS, MR_MOMENTS, MR_SECOND_MOMENTS};
    int err = 0;
    for (int i = 0; i < 3 && !err; i++) {
        struct mr_param_set set = {0};
        err = mr_param_set_plan(&set, plan, params, kinds[i]);
        mr_param_set_free(&set);
    }
    /* the copy of weights and moments that is saved while training goes on; in the host's memory, as planned for here
     */
    size_t trained = mr_params_trained(params),
           weights = mr_tuning_adapts(tuning) ? trained : mr_params_elements(params);
    mr_plan_count(plan, MR_BUFFERS, (weights + 2 * trained) * sizeof(float));
    return err;
}

int mr_memory_plan(mr_plan **out, const struct mr_config *cfg, const struct mr_memory_need *need, mr_runtime *rt)
{
    struct mr_params params = {0};
    mr_plan *plan = NULL;
    int err;
    mr_workspace *ws = mr_alloc(1, sizeof *ws);
    if (!ws)
        return MR_ENOMEM;
    *ws = (mr_workspace){.cfg = cfg, .options = need->workspace};
    MR_GO(mr_model_declare(&params, cfg));
    MR_GO(mr_tuning_apply(need->tuning, &params));
    MR_GO(mr_model_formats(&params, need->tuning, need->choose, need->context));
    MR_GO(mr_plan_create(&plan, rt ? mr_runtime_info(rt) : NULL));
    MR_GO(mr_model_plan(&params, plan));
    if (need->optimizer)
        MR_GO(plan_optimizer(plan, &params, need->tuning));
    if (need->slots)
        MR_GO(plan_states(plan, cfg, need->slots, rt));
    MR_GO(mr_workspace_plan(ws, plan, &params, rt));
    *out = plan;
    plan = NULL;
fail:
    mr_plan_free(plan);
    mr_workspace_free(ws);
    mr_params_free(&params);
    return err;
}
