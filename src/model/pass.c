/* SPDX-License-Identifier: GPL-3.0-or-later
 * Forward is a loop over branches, backward the same loop reversed. */
#include "model/pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/layer.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "rt/gemm.h"

#define LAYER_NORM_EPS 1e-5f
#define EMBEDDING_SITE 0

void mr_pass_set_draws(mr_pass *pass, uint64_t seed, uint64_t micro_step)
{
    pass->seed = seed;
    pass->micro_step = micro_step;
}

struct mr_dropout mr_pass_draws(const struct mr_pass *pass, uint32_t site)
{
    float p = pass->backward ? (float)pass->cfg->dropout : 0;
    return (struct mr_dropout){.p = p, .seed = pass->seed, .step = pass->micro_step, .site = site};
}

int mr_pass_dropout(struct mr_pass *pass, uint32_t site, const mr_tensor *x, size_t count)
{
    struct mr_dropout drop = mr_pass_draws(pass, site);
    if (drop.p == 0)
        return 0;
    return mr_dropout_apply(pass->rt, &drop, x, x, count);
}

int mr_pass_undrop(struct mr_pass *pass, uint32_t site, const mr_tensor **dy, const mr_tensor *room, size_t count)
{
    struct mr_dropout drop = mr_pass_draws(pass, site);
    if (drop.p == 0)
        return 0;
    MR_TRY(mr_dropout_apply(pass->rt, &drop, *dy, room, count));
    *dy = room;
    return 0;
}

static struct mr_param *find(struct mr_pass *pass, const char *prefix, const char *name)
{
    return mr_param_find(&pass->model->params, prefix, name);
}

static int norm_forward(struct mr_pass *pass, const char *prefix, const mr_tensor *x, const mr_tensor *y,
                        const mr_tensor *mean, const mr_tensor *rstd)
{
    struct mr_param *weight = find(pass, prefix, "weight"), *bias = find(pass, prefix, "bias");
    return mr_layer_norm_forward(pass->rt, x, &weight->value, bias ? &bias->value : NULL, y, mean, rstd, pass->rows,
                                 pass->cfg->n_embd, LAYER_NORM_EPS);
}

static int norm_backward(struct mr_pass *pass, const char *prefix, const mr_tensor *x, const mr_tensor *mean,
                         const mr_tensor *rstd, const mr_tensor *dy, const mr_tensor *dx)
{
    struct mr_param *weight = find(pass, prefix, "weight"), *bias = find(pass, prefix, "bias");
    return mr_layer_norm_backward(pass->rt, x, &weight->value, mean, rstd, dy, dx, false, &weight->grad,
                                  bias ? &bias->grad : NULL, &pass->reduce, pass->rows, pass->cfg->n_embd);
}

/* The learned positions, or NULL. */
static struct mr_param *positions(struct mr_pass *pass)
{
    const struct mr_family *family = mr_family(pass->cfg);
    return family->positions && pass->cfg->positions == MR_POSITIONS_LEARNED ? find(pass, "", family->positions) : NULL;
}

static int upload(struct mr_pass *pass, const int32_t *tokens)
{
    const struct mr_config *cfg = pass->cfg;
    for (int i = 0; i < pass->rows; i++)
        if (tokens[i] < 0 || tokens[i] >= cfg->vocab_size)
            return mr_fail(MR_EINVAL, "token %d at position %d is outside the vocabulary of %d", tokens[i],
                           i % pass->time, cfg->vocab_size);
    MR_TRY(mr_write(pass->rt, &pass->tokens, 0, (size_t)pass->rows, tokens));
    if (!pass->backward)
        return 0;
    int err = MR_ENOMEM;
    int32_t *order = mr_alloc(2 * (size_t)pass->rows + 1, sizeof *order), *first = order ? order + pass->rows : NULL;
    if (!order)
        return err;
    MR_GO(mr_embedding_order(tokens, pass->rows, order, first, &pass->unique_tokens));
    MR_GO(mr_write(pass->rt, &pass->order, 0, (size_t)pass->rows, order));
    MR_GO(mr_write(pass->rt, &pass->first, 0, (size_t)pass->unique_tokens + 1, first));
fail:
    free(order);
    return err;
}

static int embed(struct mr_pass *pass)
{
    const struct mr_config *cfg = pass->cfg;
    const struct mr_family *family = mr_family(cfg);
    struct mr_param *wpe = positions(pass);
    const mr_tensor *to = family->first_norm ? &pass->embedded : &pass->x[0];
    MR_TRY(mr_embedding_forward(pass->rt, &pass->tokens, &find(pass, "", family->embedding)->value,
                                wpe ? &wpe->value : NULL, to, pass->batch, pass->time, cfg->n_embd,
                                (int)(wpe ? pass->position : 0)));
    MR_TRY(mr_pass_dropout(pass, EMBEDDING_SITE, to, (size_t)pass->rows * cfg->n_embd));
    if (family->first_norm)
        MR_TRY(
            norm_forward(pass, family->first_norm, &pass->embedded, &pass->x[0], &pass->first_mean, &pass->first_rstd));
    return 0;
}

/* Output of link i of a branch: between the links `mid`, after the last one y. */
static const mr_tensor *link_output(struct mr_pass *pass, int branch, int link, int links)
{
    if (link == links - 1)
        return &pass->y;
    return &pass->mid[(pass->options.training ? branch : 0) * (pass->links - 1) + link];
}

static int chain_length(const struct mr_branch *branch)
{
    int n = 0;
    while (n < MR_LINKS && branch->chain[n].layer)
        n++;
    return n;
}

static int start_call(struct mr_pass *pass, int batch, int time, bool backward, float loss_scale)
{
    const struct mr_pass_options *o = &pass->options;
    if (batch < 1 || time < 1 || batch > o->batch || time > o->time || (backward && !o->training))
        return mr_fail(MR_EINVAL, "a call of %d texts of %d tokens does not fit a pass planned for %d of %d%s", batch,
                       time, o->batch, o->time, backward && !o->training ? ", without backward" : "");
    if (!o->with_state)
        pass->position = 0;
    if (positions(pass) && pass->position + time > pass->cfg->block_size)
        return mr_fail(MR_EINVAL, "%lld positions are more than the %d that this model has learned (block_size)",
                       (long long)pass->position + time, pass->cfg->block_size);
    pass->batch = batch;
    pass->time = time;
    pass->rows = batch * time;
    pass->backward = backward;
    pass->loss_scale = loss_scale;
    return 0;
}

int mr_pass_forward(mr_pass *pass, const int32_t *tokens, int batch, int time, bool backward, float loss_scale)
{
    MR_TRY(start_call(pass, batch, time, backward, loss_scale));
    MR_TRY(upload(pass, tokens));
    if (pass->options.training)
        MR_TRY(mr_zero(pass->rt, &pass->aux));
    MR_TRY(embed(pass));
    size_t n = (size_t)pass->rows * (size_t)pass->cfg->n_embd;
    const struct mr_branch *block = mr_family(pass->cfg)->block(pass->cfg);
    struct mr_node *node = pass->nodes;
    mr_tensor *x = pass->x;
    for (int b = 0; b < pass->branches * pass->cfg->n_layer; b++) {
        int links = chain_length(&block[b % pass->branches]);
        const mr_tensor *in = x;
        for (int i = 0; i < links; i++, node++) {
            const mr_tensor *out = link_output(pass, b, i, links);
            MR_TRY(node->layer->forward(node, pass, in, out));
            in = out;
        }
        mr_tensor *next = pass->options.training ? x + 1 : x;
        MR_TRY(mr_add_forward(pass->rt, x, &pass->y, next, n));
        x = next;
    }
    MR_TRY(norm_forward(pass, mr_family(pass->cfg)->final_norm, x, &pass->final, &pass->final_mean, &pass->final_rstd));
    if (pass->options.with_state)
        pass->position += time;
    return 0;
}

static struct mr_param *head(struct mr_pass *pass)
{
    const struct mr_family *family = mr_family(pass->cfg);
    return find(pass, "", family->head ? family->head : family->embedding);
}

/* logits [rows, V] of rows `row`… of the final norm's output. */
static int head_forward(struct mr_pass *pass, int row, int rows)
{
    const struct mr_config *cfg = pass->cfg;
    struct mr_gemm g = {.m = rows,
                        .n = cfg->vocab_size,
                        .k = cfg->n_embd,
                        .trans_b = true,
                        .offset_a = (size_t)row * (size_t)cfg->n_embd};
    return mr_gemm(pass->rt, &g, &pass->final, &head(pass)->value, &pass->logits);
}

/* From d loss / d logits of those rows: gradients of the final norm's output and of the head. */
static int head_backward(struct mr_pass *pass, int row, int rows)
{
    const struct mr_config *cfg = pass->cfg;
    size_t at = (size_t)row * (size_t)cfg->n_embd;
    struct mr_gemm input = {.m = rows, .n = cfg->n_embd, .k = cfg->vocab_size, .offset_c = at};
    MR_TRY(mr_gemm(pass->rt, &input, &pass->logits, &head(pass)->value, &pass->dfinal));
    struct mr_gemm weight = {
        .m = cfg->vocab_size, .n = cfg->n_embd, .k = rows, .trans_a = true, .beta = 1, .offset_b = at};
    return mr_gemm(pass->rt, &weight, &pass->logits, &pass->final, &head(pass)->grad);
}

int mr_pass_loss(mr_pass *pass, const int32_t *targets, float *logits)
{
    size_t vocab = (size_t)pass->cfg->vocab_size;
    pass->valid_targets = 0;
    for (int i = 0; i < pass->rows; i++) {
        if (targets[i] < -1 || targets[i] >= pass->cfg->vocab_size)
            return mr_fail(MR_EINVAL, "target %d at position %d is outside the vocabulary of %d", targets[i],
                           i % pass->time, pass->cfg->vocab_size);
        pass->valid_targets += targets[i] >= 0;
    }
    float inverse = pass->valid_targets ? pass->loss_scale / (float)pass->valid_targets : 0;
    MR_TRY(mr_write(pass->rt, &pass->targets, 0, (size_t)pass->rows, targets));
    for (int row = 0; row < pass->rows; row += pass->slice_rows) {
        int rows = pass->rows - row < pass->slice_rows ? pass->rows - row : pass->slice_rows;
        MR_TRY(head_forward(pass, row, rows));
        if (logits)
            MR_TRY(mr_read(pass->rt, &pass->logits, 0, (size_t)rows * vocab, logits + (size_t)row * vocab));
        MR_TRY(mr_cross_entropy(pass->rt, &pass->logits, &pass->targets, &pass->row_loss, row, rows,
                                pass->cfg->vocab_size, inverse, pass->backward));
        if (pass->backward)
            MR_TRY(head_backward(pass, row, rows));
    }
    return mr_mean_loss(pass->rt, &pass->row_loss, &pass->cross_entropy, pass->rows, inverse);
}

int mr_pass_backward(mr_pass *pass)
{
    if (!pass->backward)
        return mr_fail(MR_EINVAL, "a backward needs a forward that was started for it");
    const struct mr_config *cfg = pass->cfg;
    const struct mr_family *family = mr_family(cfg);
    const struct mr_branch *block = family->block(cfg);
    int branches = pass->branches * cfg->n_layer;
    size_t n = (size_t)pass->rows * (size_t)cfg->n_embd;
    MR_TRY(norm_backward(pass, family->final_norm, &pass->x[branches], &pass->final_mean, &pass->final_rstd,
                         &pass->dfinal, &pass->dx));
    struct mr_node *node = pass->nodes + pass->node_count - 1;
    for (int b = branches - 1; b >= 0; b--) {
        int links = chain_length(&block[b % pass->branches]);
        const mr_tensor *dy = &pass->dx;
        for (int i = links - 1; i >= 0; i--, node--) {
            const mr_tensor *in = i ? link_output(pass, b, i - 1, links) : &pass->x[b];
            const mr_tensor *din = i ? &pass->dmid[(i - 1) & 1] : &pass->y;
            MR_TRY(node->layer->backward(node, pass, in, dy, din));
            dy = din;
        }
        MR_TRY(mr_accumulate(pass->rt, &pass->y, &pass->dx, n));
    }
    const mr_tensor *dembedded = &pass->dx;
    if (family->first_norm) {
        MR_TRY(norm_backward(pass, family->first_norm, &pass->embedded, &pass->first_mean, &pass->first_rstd, &pass->dx,
                             &pass->y));
        dembedded = &pass->y;
    }
    MR_TRY(mr_pass_dropout(pass, EMBEDDING_SITE, dembedded, n));
    struct mr_param *wpe = positions(pass);
    if (wpe)
        MR_TRY(mr_position_backward(pass->rt, dembedded, &wpe->grad, pass->batch, pass->time, cfg->n_embd));
    return mr_embedding_backward(pass->rt, &pass->order, &pass->first, pass->unique_tokens, &pass->tokens, dembedded,
                                 &find(pass, "", family->embedding)->grad, pass->rows, cfg->n_embd);
}

int mr_pass_read_loss(mr_pass *pass, float *cross_entropy, float *aux)
{
    MR_TRY(mr_read(pass->rt, &pass->cross_entropy, 0, 1, cross_entropy));
    return mr_read(pass->rt, &pass->aux, 0, 1, aux);
}

int mr_pass_logits(mr_pass *pass, int row, int rows, float *logits)
{
    size_t vocab = (size_t)pass->cfg->vocab_size;
    for (int at = 0; at < rows; at += pass->slice_rows) {
        int some = rows - at < pass->slice_rows ? rows - at : pass->slice_rows;
        MR_TRY(head_forward(pass, row + at, some));
        MR_TRY(mr_read(pass->rt, &pass->logits, 0, (size_t)some * vocab, logits + (size_t)at * vocab));
    }
    return 0;
}
