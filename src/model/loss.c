/* SPDX-License-Identifier: GPL-3.0-or-later
 * From the final norm's rows to logits, the loss over targets, and back. */
#include <string.h>

#include "model/workspace.h"
#include "ops/cross_entropy.h"
#include "rt/gemm.h"

int mr_head_forward(mr_workspace *ws, int row, int rows, const mr_tensor *to, size_t offset)
{
    const struct mr_config *cfg = ws->cfg;
    if (ws->stepping) { /* whose rows do not depend on each other, to the bit */
        const struct mr_product head = {.x = &ws->final,
                                        .offset_x = (size_t)row * (size_t)cfg->n_embd,
                                        .w = &ws->own.head->value,
                                        .y = to,
                                        .offset_y = offset,
                                        .n = cfg->vocab_size,
                                        .k = cfg->n_embd};
        return mr_products(ws->rt, &head, 1, rows);
    }
    struct mr_gemm g = {.m = rows,
                        .n = cfg->vocab_size,
                        .k = cfg->n_embd,
                        .trans_b = true,
                        .offset_a = (size_t)row * (size_t)cfg->n_embd,
                        .offset_c = offset};
    return mr_gemm(ws->rt, &g, &ws->final, &ws->own.head->value, to);
}

/* From d loss / d logits of those rows: gradients of the final norm's output and of the head. */
static int head_backward(mr_workspace *ws, int row, int rows)
{
    const struct mr_config *cfg = ws->cfg;
    size_t at = (size_t)row * (size_t)cfg->n_embd;
    struct mr_gemm input = {.m = rows, .n = cfg->n_embd, .k = cfg->vocab_size, .offset_c = at};
    MR_TRY(mr_gemm(ws->rt, &input, &ws->slice, &ws->own.head->value, &ws->dfinal));
    if (!mr_trained(ws->own.head))
        return 0;
    struct mr_gemm weight = {
        .m = cfg->vocab_size, .n = cfg->n_embd, .k = rows, .trans_a = true, .beta = 1, .offset_b = at};
    return mr_gemm(ws->rt, &weight, &ws->slice, &ws->final, mr_grad(ws, ws->own.head));
}

int mr_loss(mr_workspace *ws, const int32_t *targets, float *logits)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    if (!ws->slice_rows)
        return mr_fail(MR_EINVAL, "this workspace was planned for logits, not for a loss");
    ws->valid_targets = 0;
    for (int i = 0; i < ws->rows; i++) {
        if (targets[i] < -1 || targets[i] >= ws->cfg->vocab_size)
            return mr_fail(MR_EINVAL, "target %d at position %d is outside the vocabulary of %d", targets[i],
                           i % ws->time, ws->cfg->vocab_size);
        ws->valid_targets += targets[i] >= 0;
    }
    float inverse = ws->valid_targets ? ws->loss_scale / (float)ws->valid_targets : 0;
    MR_TRY(mr_write(ws->rt, &ws->targets, 0, (size_t)ws->rows, targets));
    for (int row = 0; row < ws->rows; row += ws->slice_rows) {
        int rows = ws->rows - row < ws->slice_rows ? ws->rows - row : ws->slice_rows;
        MR_TRY(mr_head_forward(ws, row, rows, &ws->slice, 0));
        if (logits)
            MR_TRY(mr_read(ws->rt, &ws->slice, 0, (size_t)rows * vocab, logits + (size_t)row * vocab));
        MR_TRY(mr_cross_entropy(ws->rt, &ws->slice, &ws->targets, &ws->row_loss, row, rows, ws->cfg->vocab_size,
                                inverse, ws->backward, ws->l2wrap));
        if (ws->backward)
            MR_TRY(head_backward(ws, row, rows));
    }
    return mr_mean_loss(ws->rt, &ws->row_loss, &ws->cross_entropy, ws->rows, inverse);
}

int mr_read_loss(mr_workspace *ws, float *cross_entropy, float *aux)
{
    MR_TRY(mr_read(ws->rt, &ws->cross_entropy, 0, 1, cross_entropy));
    return mr_read(ws->rt, &ws->aux, 0, 1, aux);
}

int mr_workspace_logits(mr_workspace *ws, int row, int rows, float *logits)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    if (row < 0 || rows < 1 || row > ws->logit_rows - rows)
        return mr_fail(MR_EINVAL, "rows %d to %d of %d rows of logits", row, row + rows, ws->logit_rows);
    return mr_read(ws->rt, &ws->logits, (size_t)row * vocab, (size_t)rows * vocab, logits);
}

int mr_workspace_first_logits(mr_workspace *ws, int count, float *const *rows)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    void *host;
    if (count == 1)
        return mr_workspace_logits(ws, 0, 1, rows[0]);
    MR_TRY(mr_tensor_map(ws->rt, &ws->logits, 0, (size_t)count * vocab, false, &host));
    for (int i = 0; i < count; i++)
        if (rows[i])
            memcpy(rows[i], (const float *)host + (size_t)i * vocab, vocab * sizeof(float));
    return mr_tensor_unmap(ws->rt, &ws->logits, host);
}
