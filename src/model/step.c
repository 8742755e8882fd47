/* SPDX-License-Identifier: GPL-3.0-or-later
 * A step: one token each of several texts, each with its slot, through all layers in few launches. */
#include "model/step.h"

#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/place.h"
#include "ops/rms_norm.h"

struct mr_slots mr_slots_of(const mr_workspace *ws, const struct mr_node *node, int i)
{
    const struct mr_state_tensor *t = &ws->states->list[node->state + i];
    return (struct mr_slots){&t->whole, &ws->slots, (int)t->stride};
}

struct mr_product mr_linear_product(const struct mr_linear *linear, const mr_tensor *x, size_t offset,
                                    const mr_tensor *y)
{
    return (struct mr_product){.x = x,
                               .w = &linear->weight->value,
                               .bias = linear->bias ? &linear->bias->value : NULL,
                               .y = y,
                               .offset_x = offset,
                               .n = linear->out,
                               .k = linear->in};
}

int mr_step_shift(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                  struct mr_param *const *share, int count, bool keeps, bool rest)
{
    const mr_tensor *maa[MR_STEP_MIXES];
    for (int i = 0; i < count; i++)
        maa[i] = &share[i]->value;
    const struct mr_norm_shift s = {.rows = ws->rows,
                                    .dim = ws->cfg->n_embd,
                                    .count = count,
                                    .keeps = keeps,
                                    .rest = rest,
                                    .norm = norm ? norm->kind : MR_NORM_NONE,
                                    .weight = norm ? norm->weight : NULL,
                                    .bias = norm ? norm->bias : NULL,
                                    .eps = norm ? norm->eps : 0,
                                    .slots = mr_slots_of(ws, node, 0)};
    return mr_norm_shift_step(ws->rt, &s, x, maa, &ws->mixes);
}

int mr_step_norm(mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x, const mr_tensor **normed)
{
    *normed = x;
    if (!norm)
        return 0;
    *normed = &ws->mixes;
    if (norm->kind == MR_NORM_RMS)
        return mr_rms_norm_forward(ws->rt, x, &ws->mixes, &ws->final_rstd, ws->rows, ws->cfg->n_embd, norm->eps);
    return mr_layer_norm_forward(ws->rt, x, norm->weight, norm->bias, &ws->mixes, &ws->final_mean, &ws->final_rstd,
                                 ws->rows, ws->cfg->n_embd, norm->eps);
}

static int embed(mr_workspace *ws)
{
    const struct mr_param *wpe = ws->own.positions;
    const mr_tensor *to = ws->own.first_weight ? &ws->embedded : &ws->x[0];
    MR_TRY(mr_embedding_forward(ws->rt, &ws->step_tokens, &ws->own.embedding->value, NULL, to, ws->rows, 1,
                                ws->cfg->n_embd, 0));
    if (wpe)
        MR_TRY(mr_place_step(ws->rt, &ws->positions, &wpe->value, to, ws->rows, ws->cfg->n_embd, ws->cfg->block_size));
    return ws->own.first_weight ? mr_norm_forward(ws, ws->own.first_weight, ws->own.first_bias, &ws->embedded,
                                                  &ws->x[0], &ws->first_mean, &ws->first_rstd)
                                : 0;
}

/* x += last(…first(norm(x))) of one branch; *node moves behind its links. */
static int branch_step(mr_workspace *ws, const struct mr_branch *branch, struct mr_node **node)
{
    struct mr_norm norm;
    const struct mr_norm *before = NULL;
    const mr_tensor *x = &ws->x[0], *in = x;
    for (int i = 0; i < MR_LINKS && branch->chain[i].layer; i++, ++*node) {
        bool last = i == MR_LINKS - 1 || !branch->chain[i + 1].layer;
        const mr_tensor *out = last ? x : &ws->mid[i];
        if ((*node)->layer->norm) {
            (*node)->layer->norm(*node, &norm);
            before = &norm;
            continue;
        }
        MR_TRY((*node)->layer->step(*node, ws, before, in, last ? x : NULL, out));
        MR_TRY(mr_look(ws, out, (*node)->prefix));
        before = NULL;
        in = out;
    }
    return 0;
}

int mr_step_forward(mr_workspace *ws)
{
    size_t room = ws->slots.count;
    MR_TRY(mr_write(ws->rt, &ws->step_numbers, 0, 3 * room, ws->host));
    MR_TRY(embed(ws));
    MR_TRY(mr_look(ws, &ws->x[0], ws->own.embedding->name));
    struct mr_node *node = ws->nodes;
    for (int block = 0; block < ws->cfg->n_layer; block++)
        for (const struct mr_branch *b = mr_family_branches(ws->cfg); b->chain[0].layer; b++)
            MR_TRY(branch_step(ws, b, &node));
    return mr_final_norm(ws, &ws->x[0]);
}
