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
        MR_TRY(mr_place_step(ws->rt, &ws->positions, &wpe->value, to, ws->rows, ws->cfg->n_embd,
                             mr_family(ws->cfg)->first_place + ws->cfg->block_size, mr_family(ws->cfg)->first_place));
    return ws->own.first_weight ? mr_norm_forward(ws, ws->own.first_weight, ws->own.first_bias, &ws->embedded,
                                                  &ws->x[0], &ws->first_mean, &ws->first_rstd)
                                : 0;
}

/* x += last(…first(norm(x))) of one branch; *node moves behind its links. */
static int branch_step(mr_workspace *ws, const struct mr_branch *branch, struct mr_node **node)
{
    struct mr_norm norm;
    const struct mr_norm *before = NULL;
    const mr_tensor *x = &ws->x[0], *in = x; /* ws->y holds the sum for a branch that reads x once more */
    const mr_tensor *add = branch->beside ? &ws->y : x, *sum = branch[1].beside ? &ws->y : x;
    for (int i = 0; i < MR_LINKS && branch->chain[i].layer; i++, ++*node) {
        bool last = i == MR_LINKS - 1 || !branch->chain[i + 1].layer;
        const mr_tensor *out = last ? sum : &ws->mid[i];
        if ((*node)->layer->norm) {
            (*node)->layer->norm(*node, &norm);
            before = &norm;
            continue;
        }
        MR_TRY((*node)->layer->step(*node, ws, before, in, last ? add : NULL, out));
        MR_TRY(mr_look(ws, out, (*node)->prefix));
        before = NULL;
        in = out;
    }
    return 0;
}

static int write_numbers(mr_workspace *ws)
{
    return mr_write(ws->rt, &ws->step_numbers, 0, 3 * ws->slots.count, ws->host);
}

static int layers(mr_workspace *ws)
{
    MR_TRY(embed(ws));
    MR_TRY(mr_look(ws, &ws->x[0], ws->own.embedding->name));
    struct mr_node *node = ws->nodes;
    for (int block = 0; block < ws->cfg->n_layer; block++)
        for (const struct mr_branch *b = mr_family_branches(ws->cfg); b->chain[0].layer; b++)
            MR_TRY(branch_step(ws, b, &node));
    return mr_final_norm(ws, &ws->x[0]);
}

int mr_step_forward(mr_workspace *ws)
{
    MR_TRY(write_numbers(ws));
    return layers(ws);
}

/* Rows of the step from `row` on whose logits lie one after the other. */
static int together(const mr_workspace *ws, const int *at, int row)
{
    int n = 1;
    while (row + n < ws->rows && at[row] >= 0 && at[row + n] == at[row] + n)
        n++;
    return n;
}

static int launch_all(mr_workspace *ws, const int *at)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    MR_TRY(layers(ws));
    for (int row = 0, n; row < ws->rows; row += n) {
        n = together(ws, at, row);
        if (at[row] >= 0)
            MR_TRY(mr_head_forward(ws, row, n, &ws->logits, (size_t)at[row] * vocab));
    }
    return 0;
}

/* The kept steps' one of these rows; or the oldest's place, emptied for them. */
static struct mr_kept_step *kept_step(mr_workspace *ws, int logits)
{
    struct mr_kept_step *kept = ws->kept_steps;
    for (int i = 0; i < MR_KEPT_STEPS; i++)
        if (kept[i].rows == ws->rows && kept[i].logits == logits && kept[i].states == ws->states->serial)
            return &kept[i];
    kept += ws->next_kept++ % MR_KEPT_STEPS;
    mr_recording_free(kept->launches);
    *kept = (struct mr_kept_step){.states = ws->states->serial, .rows = ws->rows, .logits = logits};
    return kept;
}

/* What differs from step to step is in step_numbers: the launches of a second step of as many rows are kept, and made
 * again as they are in those that follow. */
int mr_step_run(mr_workspace *ws, const int *at)
{
    MR_TRY(write_numbers(ws));
    if (at[0] < 0 || together(ws, at, 0) < ws->rows)
        return launch_all(ws, at);
    struct mr_kept_step *kept = kept_step(ws, at[0]);
    if (kept->launches)
        return mr_replay(ws->rt, kept->launches);
    if (!kept->ran) {
        kept->ran = true;
        return launch_all(ws, at);
    }
    MR_TRY(mr_record_begin(ws->rt));
    int err = launch_all(ws, at);
    kept->launches = mr_record_end(ws->rt);
    return err;
}
