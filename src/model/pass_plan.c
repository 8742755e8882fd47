/* SPDX-License-Identifier: GPL-3.0-or-later
 * Building a pass: its nodes from the family's table, its memory, its state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/layer.h"
#include "model/pass.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"

/* Logits are computed over slices of rows of at most this many floats (one row at least). */
#define SLICE (16u << 20)

static int count_nodes(struct mr_pass *pass)
{
    int branches = 0, links = 1, nodes = 0;
    for (const struct mr_branch *b = mr_family(pass->cfg)->block(pass->cfg); b->chain[0].layer; b++, branches++) {
        int n = 0;
        while (n < MR_LINKS && b->chain[n].layer)
            n++;
        nodes += n;
        links = n > links ? n : links;
    }
    pass->branches = branches;
    pass->links = links;
    return nodes * pass->cfg->n_layer;
}

static int build_nodes(struct mr_pass *pass)
{
    const struct mr_family *family = mr_family(pass->cfg);
    pass->node_count = count_nodes(pass);
    pass->nodes = mr_alloc((size_t)pass->node_count, sizeof *pass->nodes);
    size_t streams = pass->options.training ? (size_t)pass->branches * pass->cfg->n_layer + 1 : 1;
    size_t mids =
        (size_t)(pass->links - 1) * (pass->options.training ? (size_t)pass->branches * pass->cfg->n_layer : 1);
    pass->x = mr_alloc(streams, sizeof *pass->x);
    pass->mid = mr_alloc(mids, sizeof *pass->mid);
    if (!pass->nodes || !pass->x || !pass->mid)
        return MR_ENOMEM;
    struct mr_node *node = pass->nodes;
    for (int block = 0; block < pass->cfg->n_layer; block++) {
        for (const struct mr_branch *b = family->block(pass->cfg); b->chain[0].layer; b++) {
            for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++, node++) {
                char at[MR_NAME - 40];
                snprintf(at, sizeof at, family->block_prefix, block);
                snprintf(node->prefix, sizeof node->prefix, "%s%s.", at, b->chain[i].name ? b->chain[i].name : "");
                node->layer = b->chain[i].layer;
                node->block = block;
                node->site = 4 + 4 * (uint32_t)(node - pass->nodes);
                node->own = mr_alloc(1, node->layer->own);
                if (!node->own)
                    return MR_ENOMEM;
            }
        }
    }
    return 0;
}

static int add(mr_plan *plan, enum mr_memory kind, mr_tensor *where, size_t count)
{
    return mr_plan_add(plan, kind, where, MR_F32, count);
}

static int plan_stream(struct mr_pass *pass, mr_plan *plan, size_t rows_dim)
{
    bool training = pass->options.training;
    enum mr_memory kind = training ? MR_ACTIVATIONS : MR_BUFFERS;
    size_t branches = (size_t)pass->branches * pass->cfg->n_layer;
    for (size_t i = 0; i < (training ? branches + 1 : 1); i++)
        MR_TRY(add(plan, kind, &pass->x[i], rows_dim));
    /* The links' outputs, only where a branch has as many. */
    const struct mr_branch *block = mr_family(pass->cfg)->block(pass->cfg);
    for (size_t i = 0; i < (training ? branches : 1); i++)
        for (int j = 0; j < pass->links - 1; j++)
            if (!training || block[i % pass->branches].chain[j + 1].layer)
                MR_TRY(add(plan, kind, &pass->mid[i * (size_t)(pass->links - 1) + (size_t)j], rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &pass->y, rows_dim));
    if (mr_family(pass->cfg)->first_norm)
        MR_TRY(add(plan, MR_BUFFERS, &pass->embedded, rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &pass->final, rows_dim));
    if (!training)
        return 0;
    MR_TRY(add(plan, MR_BUFFERS, &pass->dx, rows_dim));
    MR_TRY(add(plan, MR_BUFFERS, &pass->dfinal, rows_dim));
    for (int i = 0; i < 2 && i < pass->links - 1; i++)
        MR_TRY(add(plan, MR_BUFFERS, &pass->dmid[i], rows_dim));
    return 0;
}

/* What the widest weight gradient of the model needs to reduce over rows. */
static size_t reduce_scratch(const struct mr_pass *pass, const struct mr_params *params, const mr_runtime *rt, int rows)
{
    size_t most = mr_layer_norm_backward_scratch(rt, rows, pass->cfg->n_embd);
    for (int i = 0; i < params->count; i++) {
        const struct mr_param *p = params->list[i];
        if (p->ndim == 2) {
            size_t need = mr_linear_scratch(rt, rows, (int)p->shape[1], (int)p->shape[0]);
            most = need > most ? need : most;
        }
    }
    return most ? most : 1;
}

static int plan_head(struct mr_pass *pass, mr_plan *plan, const struct mr_params *params, const mr_runtime *rt,
                     size_t rows)
{
    size_t vocab = (size_t)pass->cfg->vocab_size, slice = SLICE / vocab;
    slice = slice < 1 ? 1 : slice > rows ? rows : slice;
    slice = (size_t)mr_ceil_div((int64_t)rows, mr_ceil_div((int64_t)rows, (int64_t)slice)); /* of even size */
    pass->slice_rows = (int)slice;
    MR_TRY(add(plan, MR_BUFFERS, &pass->logits, slice * vocab));
    MR_TRY(add(plan, MR_BUFFERS, &pass->row_loss, rows));
    MR_TRY(add(plan, MR_BUFFERS, &pass->cross_entropy, 1));
    MR_TRY(add(plan, MR_BUFFERS, &pass->aux, 1));
    MR_TRY(add(plan, MR_BUFFERS, &pass->final_mean, rows));
    MR_TRY(add(plan, MR_BUFFERS, &pass->final_rstd, rows));
    if (mr_family(pass->cfg)->first_norm) {
        MR_TRY(add(plan, MR_BUFFERS, &pass->first_mean, rows));
        MR_TRY(add(plan, MR_BUFFERS, &pass->first_rstd, rows));
    }
    if (pass->options.training)
        MR_TRY(add(plan, MR_BUFFERS, &pass->reduce, reduce_scratch(pass, params, rt, (int)rows)));
    return 0;
}

int mr_pass_plan(struct mr_pass *pass, mr_plan *plan, const struct mr_params *params, const mr_runtime *rt)
{
    const struct mr_pass_options *o = &pass->options;
    size_t rows, rows_dim;
    if (o->batch < 1 || o->time < 1)
        return mr_fail(MR_EINVAL, "a batch of %d texts of %d tokens cannot be run: both must be at least 1", o->batch,
                       o->time);
    if (!mr_mul((size_t)o->batch, (size_t)o->time, &rows) || rows > 1 << 24 ||
        !mr_mul(rows, (size_t)pass->cfg->n_embd, &rows_dim))
        return mr_fail(MR_EINVAL,
                       "batch %d times %d positions is more than one pass can hold: try a smaller batch_size", o->batch,
                       o->time);
    if (o->training)
        MR_TRY(mr_model_check_trainable(pass->cfg));
    MR_TRY(build_nodes(pass));
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &pass->tokens, MR_I32, rows));
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &pass->targets, MR_I32, rows));
    if (o->training) {
        MR_TRY(mr_plan_add(plan, MR_BUFFERS, &pass->order, MR_I32, rows));
        MR_TRY(mr_plan_add(plan, MR_BUFFERS, &pass->first, MR_I32, rows + 1));
    }
    MR_TRY(plan_stream(pass, plan, rows_dim));
    MR_TRY(plan_head(pass, plan, params, rt, rows));
    struct mr_planner planner = {.plan = plan,
                                 .params = params,
                                 .cfg = pass->cfg,
                                 .rt = rt,
                                 .pass = pass,
                                 .batch = o->batch,
                                 .time = o->time,
                                 .training = o->training,
                                 .with_state = o->with_state};
    for (int i = 0; i < pass->node_count; i++) {
        mr_plan_scratch_reset(plan);
        MR_TRY(pass->nodes[i].layer->plan(&pass->nodes[i], &planner));
    }
    return 0;
}

int mr_pass_create(mr_pass **out, mr_model *model, const struct mr_pass_options *options)
{
    int err = MR_ENOMEM;
    mr_plan *plan = NULL;
    mr_pass *pass = mr_alloc(1, sizeof *pass);
    if (!pass)
        return MR_ENOMEM;
    *pass = (struct mr_pass){.model = model, .rt = model->rt, .cfg = &model->cfg, .options = *options};
    MR_GO(mr_plan_create(&plan, mr_runtime_info(model->rt)));
    MR_GO(mr_pass_plan(pass, plan, &model->params, model->rt));
    MR_GO(mr_plan_allocate(plan, model->rt, options->force, &pass->arena));
    mr_plan_free(plan);
    *out = pass;
    return 0;
fail:
    mr_plan_free(plan);
    mr_pass_free(pass);
    return err;
}

void mr_pass_free(mr_pass *pass)
{
    if (!pass)
        return;
    mr_arena_free(pass->rt, pass->arena);
    for (int i = 0; pass->nodes && i < pass->node_count; i++)
        free(pass->nodes[i].own);
    free(pass->nodes);
    free(pass->x);
    free(pass->mid);
    free(pass->states);
    for (struct mr_shared_tensor *next, *shared = pass->shared; shared; shared = next) {
        next = shared->next;
        free(shared);
    }
    free(pass);
}

/* ---- the state ------------------------------------------------------------------------------------------- */

int mr_pass_reset(mr_pass *pass)
{
    pass->position = 0;
    for (int i = 0; i < pass->state_count; i++)
        MR_TRY(mr_zero(pass->rt, pass->states[i]));
    return 0;
}

int64_t mr_pass_position(const mr_pass *pass)
{
    return pass->position;
}

size_t mr_pass_state_size(const mr_pass *pass)
{
    size_t size = sizeof(int64_t);
    for (int i = 0; i < pass->state_count; i++)
        size += pass->states[i]->count * sizeof(float);
    return size;
}

int mr_pass_state_read(mr_pass *pass, void *state)
{
    char *at = state;
    memcpy(at, &pass->position, sizeof pass->position);
    at += sizeof pass->position;
    for (int i = 0; i < pass->state_count; i++) {
        MR_TRY(mr_read(pass->rt, pass->states[i], 0, pass->states[i]->count, at));
        at += pass->states[i]->count * sizeof(float);
    }
    return 0;
}

int mr_pass_state_restore(mr_pass *pass, const void *state, size_t size)
{
    if (size != mr_pass_state_size(pass))
        return mr_fail(MR_EINVAL, "a state of %zu bytes does not fit this model, whose state has %zu", size,
                       mr_pass_state_size(pass));
    const char *at = state;
    int64_t position;
    memcpy(&position, at, sizeof position);
    if (position < 0)
        return mr_fail(MR_EINVAL, "the state's position %lld is negative: the state is damaged", (long long)position);
    at += sizeof position;
    for (int i = 0; i < pass->state_count; i++) {
        MR_TRY(mr_write(pass->rt, pass->states[i], 0, pass->states[i]->count, at));
        at += pass->states[i]->count * sizeof(float);
    }
    pass->position = position;
    return 0;
}
