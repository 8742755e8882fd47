/* SPDX-License-Identifier: GPL-3.0-or-later
 * One call runs pieces of several texts. They are cut into groups that run through all layers one after the other: the
 * pieces without slots as one batch, each longer piece with a slot by itself, those of one token together. */
#include "model/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"

#define EMBEDDING_SITE 0

void mr_workspace_set_training(mr_workspace *ws, bool backward, float loss_scale, uint64_t seed, uint64_t micro_step)
{
    ws->backward = backward;
    ws->loss_scale = loss_scale;
    ws->seed = seed;
    ws->micro_step = micro_step;
}

struct mr_dropout mr_drop_of(const mr_workspace *ws, uint32_t site)
{
    float p = ws->backward ? (float)ws->cfg->dropout : 0;
    return (struct mr_dropout){.p = p, .seed = ws->seed, .step = ws->micro_step, .site = site};
}

int mr_drop(mr_workspace *ws, uint32_t site, const mr_tensor *x, size_t count)
{
    struct mr_dropout drop = mr_drop_of(ws, site);
    if (drop.p == 0)
        return 0;
    return mr_dropout_apply(ws->rt, &drop, x, x, count);
}

int mr_drop_backward(mr_workspace *ws, uint32_t site, const mr_tensor **dy, const mr_tensor *masked, size_t count)
{
    struct mr_dropout drop = mr_drop_of(ws, site);
    if (drop.p == 0)
        return 0;
    MR_TRY(mr_dropout_apply(ws->rt, &drop, *dy, masked, count));
    *dy = masked;
    return 0;
}

/* ---- a group through all layers --------------------------------------------------------------------------------- */

int mr_norm_forward(mr_workspace *ws, struct mr_param *weight, struct mr_param *bias, const mr_tensor *x,
                    const mr_tensor *y, const mr_tensor *mean, const mr_tensor *rstd)
{
    return mr_layer_norm_forward(ws->rt, x, &weight->value, bias ? &bias->value : NULL, y, mean, rstd, ws->rows,
                                 ws->cfg->n_embd, (float)ws->cfg->ln_eps);
}

static int norm_backward(mr_workspace *ws, struct mr_param *weight, struct mr_param *bias, const mr_tensor *x,
                         const mr_tensor *mean, const mr_tensor *rstd, const mr_tensor *dy, const mr_tensor *dx)
{
    const struct mr_layer_norm_gradients g = {
        .dy = dy, .dx = dx, .dweight = mr_grad(ws, weight), .dbias = mr_grad(ws, bias)};
    return mr_layer_norm_backward(ws->rt, x, &weight->value, mean, rstd, &g, &ws->reduce, ws->rows, ws->cfg->n_embd);
}

/* Backward adds up an embedding's rows token by token: the rows in the order of their tokens. */
static int upload(mr_workspace *ws)
{
    MR_TRY(mr_write(ws->rt, &ws->tokens, 0, (size_t)ws->rows, ws->host));
    if (!ws->backward)
        return 0;
    int32_t *order = ws->order_host, *first = order + ws->rows;
    MR_TRY(mr_embedding_order(ws->host, ws->rows, order, first, &ws->unique_tokens));
    MR_TRY(mr_write(ws->rt, &ws->order, 0, (size_t)ws->rows, order));
    return mr_write(ws->rt, &ws->first, 0, (size_t)ws->unique_tokens + 1, first);
}

static int embed(mr_workspace *ws)
{
    const struct mr_config *cfg = ws->cfg;
    struct mr_param *wpe = ws->own.positions;
    const mr_tensor *to = ws->own.first_weight ? &ws->embedded : &ws->x[0];
    MR_TRY(mr_embedding_forward(ws->rt, &ws->tokens, &ws->own.embedding->value, wpe ? &wpe->value : NULL, to, ws->batch,
                                ws->time, cfg->n_embd, wpe ? (int)ws->position + mr_family(cfg)->first_place : 0));
    MR_TRY(mr_drop(ws, EMBEDDING_SITE, to, (size_t)ws->rows * (size_t)cfg->n_embd));
    if (!ws->own.first_weight)
        return 0;
    return mr_norm_forward(ws, ws->own.first_weight, ws->own.first_bias, &ws->embedded, &ws->x[0], &ws->first_mean,
                           &ws->first_rstd);
}

/* Output of link i of a branch: between the links `mid`, after the last one y. */
static const mr_tensor *link_output(mr_workspace *ws, int branch, int link, int links)
{
    if (link == links - 1)
        return &ws->y;
    return &ws->mid[(ws->training ? branch : 0) * (ws->links - 1) + link];
}

static int chain_length(const struct mr_branch *branch)
{
    int n = 0;
    while (n < MR_LINKS && branch->chain[n].layer)
        n++;
    return n;
}

int mr_look(mr_workspace *ws, const mr_tensor *x, const char *place)
{
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    if (!ws->first_bad || *ws->first_bad)
        return 0;
    float *values = mr_alloc(n, sizeof *values);
    int err = values ? mr_read(ws->rt, x, 0, n, values) : MR_ENOMEM;
    for (size_t i = 0; !err && i < n; i++) {
        if (!isfinite(values[i])) {
            snprintf(ws->first_bad, MR_NAME, "%s", place);
            break;
        }
    }
    free(values);
    return err;
}

int mr_final_norm(mr_workspace *ws, const mr_tensor *x)
{
    struct mr_param *weight = ws->own.final_weight;
    MR_TRY(mr_norm_forward(ws, weight, ws->own.final_bias, x, &ws->final, &ws->final_mean, &ws->final_rstd));
    return weight ? mr_look(ws, &ws->final, weight->name) : 0;
}

/* One block from *x on, which then is what the next one reads; again: for its backward, which does without the last
 * sum. */
static int run_block(mr_workspace *ws, int block, bool again, mr_tensor **x)
{
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    const struct mr_branch *branches = mr_family_branches(ws->cfg);
    struct mr_node *node = ws->nodes + block * (ws->node_count / ws->cfg->n_layer);
    const mr_tensor *before = *x;
    for (int b = 0; b < ws->branches; b++) {
        int links = chain_length(&branches[b]);
        const mr_tensor *in = branches[b].beside ? before : *x;
        for (int i = 0; i < links; i++, node++) {
            const mr_tensor *out = link_output(ws, block * ws->branches + b, i, links);
            MR_TRY(node->layer->forward(node, ws, in, out));
            MR_TRY(mr_look(ws, out, node->prefix));
            in = out;
        }
        if (again && b == ws->branches - 1)
            break;
        mr_tensor *next = ws->training ? *x + 1 : ws->beside ? &ws->x[*x == ws->x] : *x;
        MR_TRY(mr_add_forward(ws->rt, *x, &ws->y, next, n));
        before = *x;
        *x = next;
    }
    return 0;
}

static int forward(mr_workspace *ws)
{
    mr_tensor *x = ws->x;
    MR_TRY(upload(ws));
    if (ws->training)
        MR_TRY(mr_zero(ws->rt, &ws->aux));
    MR_TRY(embed(ws));
    MR_TRY(mr_look(ws, ws->x, ws->own.embedding->name));
    for (int block = 0; block < ws->cfg->n_layer; block++)
        MR_TRY(run_block(ws, block, false, &x));
    return mr_final_norm(ws, x);
}

/* ws->dx through one block. */
static int block_backward(mr_workspace *ws, int block)
{
    const struct mr_branch *branches = mr_family_branches(ws->cfg);
    int nodes = ws->node_count / ws->cfg->n_layer, first = block * ws->branches;
    struct mr_node *node = ws->nodes + (block + 1) * nodes - 1;
    size_t n = (size_t)ws->rows * (size_t)ws->cfg->n_embd;
    for (int b = first + ws->branches - 1; b >= first && b >= ws->first_trained; b--) {
        const struct mr_branch *branch = &branches[b - first];
        int links = chain_length(branch);
        const mr_tensor *dy = &ws->dx;
        for (int i = links - 1; i >= 0; i--, node--) {
            const mr_tensor *in = i ? link_output(ws, b, i - 1, links) : &ws->x[branch->beside ? b - 1 : b];
            const mr_tensor *din = i ? &ws->dmid[(i - 1) & 1] : branch->beside ? &ws->dbeside : &ws->y;
            MR_TRY(node->layer->backward(node, ws, in, dy, din));
            dy = din;
        }
        if (branch->beside)
            continue; /* the branch before it takes the same dx, and then both add to it */
        MR_TRY(mr_accumulate(ws->rt, &ws->y, &ws->dx, n));
        if (branch[1].beside)
            MR_TRY(mr_accumulate(ws->rt, &ws->dbeside, &ws->dx, n));
    }
    return 0;
}

/* Where blocks run again, all but the last, which ran last; what they add to the loss has been added already. */
static int blocks_backward(mr_workspace *ws)
{
    int last = ws->cfg->n_layer - 1;
    if (ws->recompute)
        MR_TRY(mr_copy(ws->rt, &ws->aux, 0, &ws->kept_aux, 0, 1));
    for (int block = last; block >= 0 && (block + 1) * ws->branches > ws->first_trained; block--) {
        mr_tensor *x = &ws->x[block * ws->branches];
        if (ws->recompute && block < last)
            MR_TRY(run_block(ws, block, true, &x));
        MR_TRY(block_backward(ws, block));
    }
    return ws->recompute ? mr_copy(ws->rt, &ws->kept_aux, 0, &ws->aux, 0, 1) : 0;
}

/* Whether something below the blocks is trained. */
static bool embeds(const mr_workspace *ws)
{
    return mr_trained(ws->own.embedding) || mr_trained(ws->own.positions) || mr_trained(ws->own.first_weight) ||
           mr_trained(ws->own.first_bias);
}

int mr_backward(mr_workspace *ws)
{
    if (!ws->backward || !ws->rows)
        return mr_fail(MR_EINVAL, "a backward pass needs a forward pass run for training");
    const struct mr_config *cfg = ws->cfg;
    size_t n = (size_t)ws->rows * (size_t)cfg->n_embd;
    for (struct mr_shared_tensor *shared = ws->shared; shared; shared = shared->next)
        if (shared->gradient)
            MR_TRY(mr_zero(ws->rt, &shared->tensor));
    MR_TRY(norm_backward(ws, ws->own.final_weight, ws->own.final_bias, &ws->x[ws->branches * cfg->n_layer],
                         &ws->final_mean, &ws->final_rstd, &ws->dfinal, &ws->dx));
    MR_TRY(blocks_backward(ws));
    if (ws->first_trained > 0 || !embeds(ws))
        return 0;
    const mr_tensor *dembedded = &ws->dx;
    if (ws->own.first_weight) {
        MR_TRY(norm_backward(ws, ws->own.first_weight, ws->own.first_bias, &ws->embedded, &ws->first_mean,
                             &ws->first_rstd, &ws->dx, &ws->y));
        dembedded = &ws->y;
    }
    MR_TRY(mr_drop(ws, EMBEDDING_SITE, dembedded, n));
    if (mr_trained(ws->own.positions))
        MR_TRY(mr_position_backward(ws->rt, dembedded, mr_grad(ws, ws->own.positions), ws->batch, ws->time, cfg->n_embd,
                                    mr_family(cfg)->first_place));
    if (!mr_trained(ws->own.embedding))
        return 0;
    return mr_embedding_backward(ws->rt, &ws->order, &ws->first, ws->unique_tokens, &ws->tokens, dembedded,
                                 mr_grad(ws, ws->own.embedding), ws->rows, cfg->n_embd);
}

int mr_first_not_finite(mr_workspace *ws, char place[MR_NAME])
{
    *place = 0;
    ws->first_bad = place;
    int err = ws->stepping ? mr_step_forward(ws) : forward(ws);
    ws->first_bad = NULL;
    if (!err && !*place)
        snprintf(place, MR_NAME, "%s", ws->own.head->name);
    return err;
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static int check_tokens(const mr_workspace *ws, const struct mr_piece *piece)
{
    for (int i = 0; i < piece->count; i++)
        if (piece->tokens[i] < 0 || piece->tokens[i] >= ws->cfg->vocab_size)
            return mr_fail(MR_EINVAL, "token %d at position %d is outside the vocabulary of %d", piece->tokens[i], i,
                           ws->cfg->vocab_size);
    return 0;
}

static int check_slot(const mr_workspace *ws, const mr_states *states, const struct mr_piece *pieces, int at)
{
    int slot = pieces[at].slot;
    if (!states || slot >= states->slots)
        return mr_fail(MR_EINVAL, "slot %d does not exist", slot);
    if (states->model != ws->model)
        return mr_fail(MR_EINVAL, "the states belong to a different model than the workspace");
    if (ws->backward)
        return mr_fail(MR_EINVAL, "a backward pass works only on pieces without slots");
    if (states->position[slot] < 0)
        return mr_fail(MR_EINVAL,
                       "the state of slot %d is undefined because an earlier call failed: clear or restore it", slot);
    for (int i = 0; i < at; i++)
        if (pieces[i].slot == slot)
            return mr_fail(MR_EINVAL, "two pieces in one call use slot %d", slot);
    return 0;
}

static int check_pieces(const mr_workspace *ws, const mr_states *states, const struct mr_piece *pieces, int count)
{
    const struct mr_workspace_options *o = &ws->options;
    int64_t logits = 0;
    int batch = 0, steps = 0, length = 0;
    for (int i = 0; i < count; i++) {
        const struct mr_piece *p = &pieces[i];
        int64_t end = p->count;
        if (p->count < 1 || p->count > o->time)
            return mr_fail(MR_EINVAL, "a piece of %d tokens: this workspace takes 1 to %d", p->count, o->time);
        MR_TRY(check_tokens(ws, p));
        if (p->slot >= 0) {
            MR_TRY(check_slot(ws, states, pieces, i));
            end += states->position[p->slot];
            steps += p->count == 1;
        } else {
            if (batch++ && length != p->count)
                return mr_fail(MR_EINVAL, "pieces without slots differ in length: %d and %d", length, p->count);
            length = p->count;
        }
        if ((ws->own.positions || mr_family(ws->cfg)->whole_block) && end > ws->cfg->block_size)
            return mr_fail(MR_EINVAL,
                           "%lld positions are more than the %d that this model was trained for (block_size)",
                           (long long)end, ws->cfg->block_size);
        logits += p->logits == MR_LOGITS_ALL ? p->count : p->logits == MR_LOGITS_LAST;
    }
    if (batch > o->batch || steps > o->steps || logits > o->logits)
        return mr_fail(MR_EINVAL,
                       "%d pieces without slots, %d steps and %lld rows of logits: this workspace takes at most %d, "
                       "%d and %d",
                       batch, steps, (long long)logits, o->batch, o->steps, o->logits);
    return 0;
}

static int wanted(const struct mr_piece *p)
{
    return p->logits == MR_LOGITS_ALL ? p->count : p->logits == MR_LOGITS_LAST;
}

/* What runs together: pieces [first, end) that have a slot, or have none. */
struct group {
    const struct mr_piece *pieces;
    int first, end;
    bool slots;
};

static bool belongs(const struct group *g, int i)
{
    return (g->pieces[i].slot >= 0) == g->slots;
}

/* Logits of the rows that the group's pieces want, in the order of all pieces. */
static int group_logits(mr_workspace *ws, const struct group *g)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    for (int i = 0, at = 0, row = 0; i < g->end; i++) {
        int rows = wanted(&g->pieces[i]);
        if (i >= g->first && belongs(g, i)) {
            row += ws->time;
            if (rows)
                MR_TRY(mr_head_forward(ws, row - rows, rows, &ws->logits, (size_t)at * vocab));
        }
        at += rows;
    }
    return 0;
}

static int run_group(mr_workspace *ws, mr_states *states, const struct group *g)
{
    int rows = 0;
    ws->batch = 0;
    for (int i = g->first; i < g->end; i++) {
        const struct mr_piece *p = &g->pieces[i];
        if (!belongs(g, i))
            continue;
        memcpy(ws->host + rows, p->tokens, (size_t)p->count * sizeof *ws->host);
        rows += p->count;
        ws->batch++;
    }
    if (!ws->batch)
        return 0;
    ws->rows = rows;
    ws->time = rows / ws->batch;
    ws->slot = g->pieces[g->first].slot;
    ws->states = g->slots ? states : NULL;
    ws->position = g->slots ? states->position[ws->slot] : 0;
    MR_TRY(forward(ws));
    return group_logits(ws, g);
}

/* A position as kernels take it, which look at its place in a ring and at whether the ring is full. */
static int32_t step_position(const struct mr_config *cfg, int64_t position)
{
    int64_t window = mr_family(cfg)->whole_block ? cfg->block_size : cfg->window;
    return (int32_t)(position < 1 << 30 ? position : window + position % window);
}

/* Up to MR_MOST_PRODUCT_ROWS pieces of one token from `first` on; *end is behind the last one. */
static int run_step(mr_workspace *ws, mr_states *states, const struct mr_piece *pieces, int count, int first, int *end)
{
    size_t room = ws->slots.count;
    int at[MR_MOST_PRODUCT_ROWS], rows = 0, logits = 0;
    for (int i = 0; i < first; i++)
        logits += wanted(&pieces[i]);
    for (*end = first; *end < count && rows < MR_MOST_PRODUCT_ROWS; ++*end) {
        const struct mr_piece *p = &pieces[*end];
        if (p->slot >= 0 && p->count == 1) {
            ws->host[rows] = *p->tokens;
            ws->host[room + (size_t)rows] = p->slot;
            ws->host[2 * room + (size_t)rows] = step_position(ws->cfg, states->position[p->slot]);
            at[rows++] = wanted(p) ? logits : -1;
        }
        logits += wanted(p);
    }
    ws->batch = ws->rows = rows;
    ws->time = 1;
    ws->states = states;
    return mr_step_run(ws, at);
}

/* All pieces of one token that have a slot. */
static int run_steps(mr_workspace *ws, mr_states *states, const struct mr_piece *pieces, int count)
{
    for (int first = 0, end = 0; first < count; first = end) {
        for (; first < count && (pieces[first].slot < 0 || pieces[first].count > 1); first++)
            ;
        if (first == count)
            break;
        ws->stepping = true;
        int err = run_step(ws, states, pieces, count, first, &end);
        for (int i = first; i < end; i++)
            if (pieces[i].slot >= 0 && pieces[i].count == 1)
                states->position[pieces[i].slot] = err ? -1 : states->position[pieces[i].slot] + 1;
        if (err)
            return err;
    }
    return 0;
}

/* A piece with a slot, by itself. */
static int run_alone(mr_workspace *ws, mr_states *states, const struct mr_piece *pieces, int i)
{
    int64_t *position = &states->position[pieces[i].slot], before = *position;
    int err = run_group(ws, states, &(struct group){pieces, i, i + 1, true});
    *position = err ? -1 : before + pieces[i].count;
    return err;
}

int mr_run(mr_workspace *ws, mr_states *states, const struct mr_piece *pieces, int count)
{
    if (ws->backward && !ws->training)
        return mr_fail(MR_EINVAL, "this workspace was planned without a backward pass");
    MR_TRY(check_pieces(ws, states, pieces, count));
    ws->logit_rows = 0;
    for (int i = 0; i < count; i++)
        ws->logit_rows += wanted(&pieces[i]);
    ws->stepping = false;
    MR_TRY(run_group(ws, states, &(struct group){pieces, 0, count, false}));
    for (int i = 0; i < count; i++)
        if (pieces[i].slot >= 0 && (pieces[i].count > 1 || !ws->can_step))
            MR_TRY(run_alone(ws, states, pieces, i));
    return ws->can_step ? run_steps(ws, states, pieces, count) : 0;
}
