/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/states.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/layer.h"

enum { ALIGNMENT = 256 }; /* bytes between slots at least */

static size_t stride_of(size_t size, const struct mr_device_info *info)
{
    size_t align = ALIGNMENT;
    while (info && align % info->base_align)
        align += ALIGNMENT;
    return mr_round_up(size, align / sizeof(float));
}

bool mr_states_possible(const struct mr_config *cfg)
{
    size_t sizes[MR_LAYER_STATES];
    int found = 0;
    for (const struct mr_branch *b = mr_family_branches(cfg); b->chain[0].layer; b++) {
        for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++) {
            int n = b->chain[i].layer->states ? b->chain[i].layer->states(cfg, 0, sizes) : 0;
            if (n < 0)
                return false;
            found += n;
        }
    }
    return found > 0;
}

int mr_states_plan(mr_states *states, mr_plan *plan, const struct mr_config *cfg, const struct mr_device_info *info)
{
    struct mr_node *nodes = NULL;
    int count, err;
    MR_TRY(mr_nodes_build(&nodes, &count, cfg));
    err = MR_ENOMEM;
    states->position = mr_alloc((size_t)states->slots, sizeof *states->position);
    states->list = mr_alloc((size_t)count * MR_LAYER_STATES, sizeof *states->list);
    if (!states->position || !states->list)
        goto fail;
    err = 0;
    for (int i = 0; i < count; i++) {
        size_t sizes[MR_LAYER_STATES], all;
        int n = nodes[i].layer->states ? nodes[i].layer->states(cfg, nodes[i].block, sizes) : 0;
        for (int j = 0; j < n; j++) {
            struct mr_state_tensor *t = &states->list[states->count++];
            t->size = sizes[j];
            t->stride = stride_of(sizes[j], info);
            if (!(t->views = mr_alloc((size_t)states->slots, sizeof *t->views)))
                MR_GO(MR_ENOMEM);
            if (!mr_mul(t->stride, (size_t)states->slots, &all))
                MR_GO(mr_fail(MR_EINVAL, "%d slots are too many", states->slots));
            MR_GO(mr_plan_add(plan, MR_STATE, &t->whole, MR_F32, all));
        }
    }
fail:
    mr_nodes_free(nodes, count);
    return err;
}

int mr_states_create(mr_states **out, mr_model *model, int slots, bool force)
{
    mr_plan *plan = NULL;
    int err;
    if (slots < 1 || slots > 1 << 20)
        return mr_fail(MR_EINVAL, "the number of slots must be between 1 and 2^20, not %d", slots);
    if (!mr_states_possible(&model->cfg))
        return mr_fail(MR_EINVAL, "this model keeps no state: it rereads the whole text for every token");
    mr_states *states = mr_alloc(1, sizeof *states);
    if (!states)
        return MR_ENOMEM;
    states->model = mr_model_share(model);
    states->slots = slots;
    states->serial = ++model->states_made;
    MR_GO(mr_plan_create(&plan, mr_runtime_info(model->rt)));
    MR_GO(mr_states_plan(states, plan, &model->cfg, mr_runtime_info(model->rt)));
    MR_GO(mr_plan_allocate(plan, model->rt, force, &states->arena));
    for (int slot = 0; model->initial && slot < slots; slot++)
        MR_GO(mr_states_zero(states, slot));
    mr_plan_free(plan);
    *out = states;
    return 0;
fail:
    mr_plan_free(plan);
    mr_states_free(states);
    return err;
}

void mr_states_free(mr_states *states)
{
    if (!states)
        return;
    for (int i = 0; i < states->count; i++) {
        for (int slot = 0; states->arena && slot < states->slots; slot++)
            mr_tensor_free(states->model->rt, &states->list[i].views[slot]);
        free(states->list[i].views);
    }
    if (states->arena)
        mr_arena_free(states->model->rt, states->arena);
    free(states->list);
    free(states->position);
    mr_model_free(states->model);
    free(states);
}

static int check_slot(const mr_states *states, int slot)
{
    return slot >= 0 && slot < states->slots
               ? 0
               : mr_fail(MR_EINVAL, "slot %d does not exist: there are %d", slot, states->slots);
}

int mr_states_view(mr_states *states, int i, int slot, const mr_tensor **view)
{
    struct mr_state_tensor *t = &states->list[i];
    if (!t->views[slot].mem)
        MR_TRY(mr_tensor_view(states->model->rt, &t->views[slot], &t->whole, (size_t)slot * t->stride, t->size));
    *view = &t->views[slot];
    return 0;
}

int mr_states_zero(mr_states *states, int slot)
{
    const float *initial = states->model->initial;
    MR_TRY(check_slot(states, slot));
    states->position[slot] = -1;
    for (int i = 0; i < states->count; i++) {
        const struct mr_state_tensor *t = &states->list[i];
        const mr_tensor *view;
        MR_TRY(mr_states_view(states, i, slot, &view));
        if (initial)
            MR_TRY(mr_write(states->model->rt, &t->whole, (size_t)slot * t->stride, t->size, initial));
        else
            MR_TRY(mr_zero(states->model->rt, view));
        initial += initial ? t->size : 0;
    }
    states->position[slot] = 0;
    return 0;
}

int mr_states_copy(mr_states *states, int from, int to)
{
    MR_TRY(check_slot(states, from));
    MR_TRY(check_slot(states, to));
    if (from == to)
        return 0;
    states->position[to] = -1;
    for (int i = 0; i < states->count; i++) {
        const struct mr_state_tensor *t = &states->list[i];
        MR_TRY(mr_copy(states->model->rt, &t->whole, (size_t)from * t->stride, &t->whole, (size_t)to * t->stride,
                       t->size));
    }
    states->position[to] = states->position[from];
    return 0;
}

size_t mr_states_size(const mr_states *states)
{
    size_t size = sizeof(int64_t);
    for (int i = 0; i < states->count; i++)
        size += states->list[i].size * sizeof(float);
    return size;
}

int mr_states_read(mr_states *states, int slot, void *bytes)
{
    char *at = bytes;
    MR_TRY(check_slot(states, slot));
    memcpy(at, &states->position[slot], sizeof *states->position);
    at += sizeof *states->position;
    for (int i = 0; i < states->count; i++) {
        const struct mr_state_tensor *t = &states->list[i];
        MR_TRY(mr_read(states->model->rt, &t->whole, (size_t)slot * t->stride, t->size, at));
        at += t->size * sizeof(float);
    }
    return 0;
}

int mr_states_write(mr_states *states, int slot, const void *bytes, size_t size)
{
    const char *at = bytes;
    int64_t position;
    MR_TRY(check_slot(states, slot));
    if (size != mr_states_size(states))
        return mr_fail(MR_EINVAL, "state does not match this model: it has %zu bytes, but the model's states have %zu",
                       size, mr_states_size(states));
    memcpy(&position, at, sizeof position);
    if (position < 0)
        return mr_fail(MR_EINVAL, "the state is damaged: its position is %lld", (long long)position);
    at += sizeof position;
    states->position[slot] = -1;
    for (int i = 0; i < states->count; i++) {
        const struct mr_state_tensor *t = &states->list[i];
        MR_TRY(mr_write(states->model->rt, &t->whole, (size_t)slot * t->stride, t->size, at));
        at += t->size * sizeof(float);
    }
    states->position[slot] = position;
    return 0;
}
