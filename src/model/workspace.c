/* SPDX-License-Identifier: GPL-3.0-or-later
 * Building a workspace: its nodes from the family's table, its memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/lora.h"
#include "model/workspace.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"

/* Logits are computed over slices of rows of at most this many floats (one row at least). */
#define SLICE (16u << 20)

static void count_branches(mr_workspace *ws)
{
    ws->links = 1;
    for (const struct mr_branch *b = mr_family_branches(ws->cfg); b->chain[0].layer; b++, ws->branches++) {
        int n = 0;
        while (n < MR_LINKS && b->chain[n].layer)
            n++;
        ws->links = n > ws->links ? n : ws->links;
        ws->beside |= b->beside;
    }
}

/* A branch reads from one tensor and adds into the next; without training they may be the same, unless another branch
 * reads the first too. */
static size_t streams_of(const mr_workspace *ws)
{
    return ws->training ? (size_t)ws->branches * (size_t)ws->cfg->n_layer + 1 : ws->beside ? 2 : 1;
}

static int build_nodes(mr_workspace *ws)
{
    size_t branches, streams, mids;
    count_branches(ws);
    branches = (size_t)ws->branches * (size_t)ws->cfg->n_layer;
    streams = streams_of(ws);
    mids = (size_t)(ws->links - 1) * (ws->training ? branches : 1);
    MR_TRY(mr_nodes_build(&ws->nodes, &ws->node_count, ws->cfg));
    ws->x = mr_alloc(streams, sizeof *ws->x);
    ws->mid = mr_alloc(mids, sizeof *ws->mid);
    if (!ws->x || !ws->mid)
        return MR_ENOMEM;
    for (int i = 0; i < ws->node_count; i++)
        if (!(ws->nodes[i].own = mr_alloc(1, ws->nodes[i].layer->own)))
            return MR_ENOMEM;
    return 0;
}

static void find_own(mr_workspace *ws, const struct mr_params *params)
{
    const struct mr_family *f = mr_family(ws->cfg);
    ws->own.embedding = mr_param_find(params, "", f->embedding);
    if (f->positions && ws->cfg->positions == MR_POSITIONS_LEARNED)
        ws->own.positions = mr_param_find(params, "", f->positions);
    ws->own.head = mr_head_name(ws->cfg) ? mr_param_find(params, "", mr_head_name(ws->cfg)) : ws->own.embedding;
    ws->own.final_weight = mr_param_find(params, f->final_norm, "weight");
    ws->own.final_bias = mr_param_find(params, f->final_norm, "bias");
    if (f->first_norm) {
        ws->own.first_weight = mr_param_find(params, f->first_norm, "weight");
        ws->own.first_bias = mr_param_find(params, f->first_norm, "bias");
    }
}

static int add(mr_plan *plan, enum mr_memory kind, mr_tensor *where, size_t count)
{
    return mr_plan_add(plan, kind, where, MR_F32, count);
}

static int plan_stream(mr_workspace *ws, mr_plan *plan, size_t rows_dim)
{
    bool training = ws->training;
    enum mr_memory kind = training ? MR_ACTIVATIONS : MR_BUFFERS;
    /* With training, those within blocks are the blocks' own. */
    for (size_t i = 0; i < streams_of(ws); i += training ? (size_t)ws->branches : 1)
        MR_TRY(add(plan, kind, &ws->x[i], rows_dim));
    for (int i = 0; i < ws->links - 1 && !training; i++)
        MR_TRY(add(plan, kind, &ws->mid[i], rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &ws->y, rows_dim));
    if (mr_family(ws->cfg)->first_norm)
        MR_TRY(add(plan, MR_BUFFERS, &ws->embedded, rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &ws->final, rows_dim));
    if (!training)
        return 0;
    MR_TRY(add(plan, MR_BUFFERS, &ws->dx, rows_dim));
    if (ws->beside)
        MR_TRY(add(plan, MR_BUFFERS, &ws->dbeside, rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &ws->dfinal, rows_dim));
    for (int i = 0; i < 2 && i < ws->links - 1; i++)
        MR_TRY(add(plan, MR_BUFFERS, &ws->dmid[i], rows_dim));
    return 0;
}

/* The rows between and within a block's branches, where training. */
static int plan_block_stream(mr_workspace *ws, const struct mr_planner *p, int block, size_t rows_dim)
{
    const struct mr_branch *branches = mr_family_branches(ws->cfg);
    for (int i = 0; i < ws->branches; i++) {
        int b = block * ws->branches + i;
        if (i)
            MR_TRY(add(p->plan, p->kept, &ws->x[b], rows_dim));
        for (int j = 0; j < ws->links - 1; j++)
            if (branches[i].chain[j + 1].layer) /* links' outputs, only where a branch has as many */
                MR_TRY(add(p->plan, p->kept, &ws->mid[b * (ws->links - 1) + j], rows_dim));
    }
    return 0;
}

/* What the widest weight gradient of the model needs to reduce over rows. */
static size_t reduce_scratch(const mr_workspace *ws, const struct mr_params *params, const mr_runtime *rt, int rows)
{
    size_t most = mr_layer_norm_backward_scratch(rt, rows, ws->cfg->n_embd);
    for (int i = 0; i < params->count; i++) {
        const struct mr_param *p = params->list[i];
        if (p->ndim == 2) {
            size_t need = mr_linear_scratch(rt, rows, (int)p->shape[1], (int)p->shape[0]);
            most = need > most ? need : most;
        }
    }
    return most ? most : 1;
}

/* Room for logits that are asked for, or else for a slice of those that the loss is computed from. */
static int plan_head(mr_workspace *ws, mr_plan *plan, const struct mr_params *params, const mr_runtime *rt, size_t rows)
{
    size_t vocab = (size_t)ws->cfg->vocab_size, slice = SLICE / vocab;
    MR_TRY(add(plan, MR_BUFFERS, &ws->final_mean, rows));
    MR_TRY(add(plan, MR_BUFFERS, &ws->final_rstd, rows));
    if (mr_family(ws->cfg)->first_norm) {
        MR_TRY(add(plan, MR_BUFFERS, &ws->first_mean, rows));
        MR_TRY(add(plan, MR_BUFFERS, &ws->first_rstd, rows));
    }
    if (ws->options.logits)
        return add(plan, MR_BUFFERS, &ws->logits, (size_t)ws->options.logits * vocab);
    slice = slice < 1 ? 1 : slice > rows ? rows : slice;
    slice = (size_t)mr_ceil_div((int64_t)rows, mr_ceil_div((int64_t)rows, (int64_t)slice)); /* of even size */
    ws->slice_rows = (int)slice;
    MR_TRY(add(plan, MR_BUFFERS, &ws->slice, slice * vocab));
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->targets, MR_I32, rows));
    MR_TRY(add(plan, MR_BUFFERS, &ws->row_loss, rows));
    MR_TRY(add(plan, MR_BUFFERS, &ws->cross_entropy, 1));
    MR_TRY(add(plan, MR_BUFFERS, &ws->aux, 1));
    if (ws->recompute)
        MR_TRY(add(plan, MR_BUFFERS, &ws->kept_aux, 1));
    return ws->training ? add(plan, MR_BUFFERS, &ws->reduce, reduce_scratch(ws, params, rt, (int)rows)) : 0;
}

static bool can_step(const mr_workspace *ws)
{
    for (int i = 0; i < ws->node_count; i++) {
        const struct mr_layer *layer = ws->nodes[i].layer;
        if (!layer->norm && (!layer->step || (layer->steps && !layer->steps(ws->cfg))))
            return false;
    }
    return true;
}

/* Rows of a part of step_numbers: parts begin at multiples of the alignment. */
static size_t step_room(const mr_workspace *ws, const mr_runtime *rt)
{
    size_t align = mr_runtime_info(rt)->base_align / sizeof(int32_t);
    return mr_round_up((size_t)ws->options.steps, align ? align : 1);
}

static int plan_steps(mr_workspace *ws, mr_plan *plan, const mr_runtime *rt)
{
    ws->can_step = !ws->training && ws->options.logits && can_step(ws);
    if (!ws->can_step)
        return 0;
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->step_numbers, MR_I32, 3 * step_room(ws, rt)));
    return add(plan, MR_BUFFERS, &ws->mixes, MR_STEP_MIXES * (size_t)ws->options.steps * (size_t)ws->cfg->n_embd);
}

static int check_options(const mr_workspace *ws, size_t *rows, size_t *rows_dim)
{
    const struct mr_workspace_options *o = &ws->options;
    if (o->batch < 1 || o->time < 1 || o->steps < 0 || o->logits < 0)
        return mr_fail(MR_EINVAL, "cannot run a batch of %d texts of %d tokens: both must be at least 1", o->batch,
                       o->time);
    if (!mr_mul((size_t)o->batch, (size_t)o->time, rows) || *rows > 1 << 24 || o->steps > 1 << 24 ||
        !mr_mul(*rows > (size_t)o->steps ? *rows : (size_t)o->steps, (size_t)ws->cfg->n_embd, rows_dim))
        return mr_fail(MR_EINVAL,
                       "a batch of %d x %d positions is more than one run can hold: try a smaller batch_size", o->batch,
                       o->time);
    *rows = *rows_dim / (size_t)ws->cfg->n_embd;
    return o->training ? mr_model_check_trainable(ws->cfg) : 0;
}

/* The norms outside of the blocks. */
static int plan_own_sinks(mr_workspace *ws, mr_plan *plan)
{
    const struct mr_param *own[] = {ws->own.final_weight, ws->own.final_bias, ws->own.first_weight, ws->own.first_bias};
    for (size_t i = 0; i < sizeof own / sizeof own[0] && ws->training; i++)
        if (own[i] && own[i]->frozen)
            MR_TRY(add(plan, MR_BUFFERS, &ws->sinks[own[i]->index], own[i]->count));
    return 0;
}

/* The node's frozen vectors. A second use of the same parameters finds them at the same place of its scratch. */
static int plan_sinks(const struct mr_planner *p, int node)
{
    const mr_workspace *ws = p->ws;
    const char *prefix = ws->nodes[node].prefix;
    bool again = false;
    for (int i = 0; i < node; i++)
        again = again || strcmp(ws->nodes[i].prefix, prefix) == 0;
    for (int i = 0; i < p->params->count && p->training; i++) {
        const struct mr_param *param = p->params->list[i];
        if (param->frozen && !param->matrix && strncmp(param->name, prefix, strlen(prefix)) == 0)
            MR_TRY(mr_plan_add(p->plan, MR_SCRATCH, again ? NULL : &ws->sinks[i], MR_F32, param->count));
    }
    return 0;
}

static int plan_blocks(mr_workspace *ws, struct mr_planner *p, size_t rows_dim)
{
    p->kept = ws->recompute ? MR_RECOMPUTED : ws->training ? MR_ACTIVATIONS : MR_SCRATCH;
    for (int i = 0, block = -1; i < ws->node_count; i++) {
        if (ws->training && ws->nodes[i].block > block) {
            block = ws->nodes[i].block;
            mr_plan_overlay(p->plan, MR_RECOMPUTED);
            MR_TRY(plan_block_stream(ws, p, block, rows_dim));
        }
        mr_plan_overlay(p->plan, MR_SCRATCH);
        MR_TRY(plan_sinks(p, i));
        MR_TRY(ws->nodes[i].layer->plan(&ws->nodes[i], p));
    }
    return 0;
}

/* Backward ends at the lowest branch that has something to learn, or is below what has. */
static void find_first_trained(mr_workspace *ws, const struct mr_params *params)
{
    int node = 0, all = ws->branches * ws->cfg->n_layer;
    const struct mr_branch *block = mr_family_branches(ws->cfg);
    if (mr_trained(ws->own.embedding) || mr_trained(ws->own.positions) || mr_trained(ws->own.first_weight) ||
        mr_trained(ws->own.first_bias))
        return;
    for (; ws->first_trained < all; ws->first_trained++) {
        for (int i = 0; i < MR_LINKS && block[ws->first_trained % ws->branches].chain[i].layer; i++, node++) {
            const char *prefix = ws->nodes[node].prefix;
            for (int k = 0; k < params->count; k++)
                if (mr_trained(params->list[k]) && strncmp(params->list[k]->name, prefix, strlen(prefix)) == 0)
                    return;
        }
    }
}

int mr_workspace_plan(mr_workspace *ws, mr_plan *plan, const struct mr_params *params, mr_runtime *rt)
{
    const struct mr_workspace_options *o = &ws->options;
    size_t rows = 0, rows_dim = 0;
    MR_TRY(check_options(ws, &rows, &rows_dim));
    ws->training = o->training;
    ws->recompute = o->training && o->recompute && ws->cfg->n_layer > 1;
    ws->loss_scale = 1;
    find_own(ws, params);
    MR_TRY(build_nodes(ws));
    if (!(ws->sinks = mr_alloc((size_t)params->count, sizeof *ws->sinks)))
        return MR_ENOMEM;
    find_first_trained(ws, params);
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->tokens, MR_I32, rows));
    if (o->training) {
        MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->order, MR_I32, rows));
        MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->first, MR_I32, rows + 1));
    }
    MR_TRY(plan_stream(ws, plan, rows_dim));
    MR_TRY(plan_head(ws, plan, params, rt, rows));
    MR_TRY(plan_steps(ws, plan, rt));
    MR_TRY(mr_plan_products(plan, params, rt, (int)rows, o->training));
    struct mr_planner planner = {.plan = plan,
                                 .params = params,
                                 .cfg = ws->cfg,
                                 .rt = rt,
                                 .ws = ws,
                                 .batch = o->batch,
                                 .time = o->time,
                                 .rows = rows,
                                 .steps = ws->can_step ? (size_t)o->steps : 0,
                                 .training = o->training};
    MR_TRY(mr_lora_plan(ws, plan, params, rows));
    MR_TRY(plan_own_sinks(ws, plan));
    return plan_blocks(ws, &planner, rows_dim);
}

static int step_views(mr_workspace *ws)
{
    mr_tensor *parts[] = {&ws->step_tokens, &ws->slots, &ws->positions};
    size_t room = step_room(ws, ws->rt);
    for (size_t i = 0; i < 3 && ws->can_step; i++)
        MR_TRY(mr_tensor_view(ws->rt, parts[i], &ws->step_numbers, i * room, room));
    return 0;
}

static int host_memory(mr_workspace *ws)
{
    size_t rows = ws->tokens.count + ws->step_numbers.count;
    ws->host = mr_alloc(rows, sizeof *ws->host);
    if (ws->training)
        ws->order_host = mr_alloc(2 * rows + 1, sizeof *ws->order_host);
    return ws->host && (ws->order_host || !ws->training) ? 0 : MR_ENOMEM;
}

int mr_workspace_create(mr_workspace **out, mr_model *model, const struct mr_workspace_options *options)
{
    int err;
    mr_plan *plan = NULL;
    mr_workspace *ws = mr_alloc(1, sizeof *ws);
    if (!ws)
        return MR_ENOMEM;
    *ws = (mr_workspace){.model = mr_model_share(model), .rt = model->rt, .cfg = &model->cfg, .options = *options};
    if (!ws->options.steps)
        ws->options.steps = options->batch;
    MR_GO(mr_plan_create(&plan, mr_runtime_info(model->rt)));
    MR_GO(mr_workspace_plan(ws, plan, &model->params, model->rt));
    MR_GO(mr_plan_allocate(plan, model->rt, options->force, &ws->arena));
    MR_GO(host_memory(ws));
    MR_GO(step_views(ws));
    mr_plan_free(plan);
    *out = ws;
    return 0;
fail:
    mr_plan_free(plan);
    mr_workspace_free(ws);
    return err;
}

void mr_workspace_free(mr_workspace *ws)
{
    if (!ws)
        return;
    for (int i = 0; i < MR_KEPT_STEPS; i++)
        mr_recording_free(ws->kept_steps[i].launches);
    if (ws->arena) {
        mr_tensor_free(ws->rt, &ws->step_tokens);
        mr_tensor_free(ws->rt, &ws->slots);
        mr_tensor_free(ws->rt, &ws->positions);
    }
    mr_arena_free(ws->rt, ws->arena);
    mr_nodes_free(ws->nodes, ws->node_count);
    free(ws->sinks);
    free(ws->x);
    free(ws->mid);
    free(ws->host);
    free(ws->order_host);
    for (struct mr_shared_tensor *next, *shared = ws->shared; shared; shared = next) {
        next = shared->next;
        free(shared);
    }
    mr_model_free(ws->model);
    free(ws);
}

int mr_state_of(mr_workspace *ws, const struct mr_node *node, int i, const mr_tensor **state)
{
    *state = NULL;
    return ws->states ? mr_states_view(ws->states, node->state + i, ws->slot, state) : 0;
}

const mr_tensor *mr_grad(const mr_workspace *ws, const struct mr_param *p)
{
    if (mr_trained(p))
        return &ws->options.gradients->list[p->index];
    return p && ws->sinks[p->index].mem ? &ws->sinks[p->index] : NULL;
}
