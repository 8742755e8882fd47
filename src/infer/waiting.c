/* SPDX-License-Identifier: GPL-3.0-or-later
 * Logits of a step stay on the device until they are needed: where a draw allows it, only the largest are read. */
#include <stdlib.h>

#include "base/alloc.h"
#include "infer/lm.h"
#include "ops/top.h"

/* A launch and two reads take about as long as the host needs to go through a row of so many, on CPU devices, whose
 * rows cost nothing to read. Measured: 4096 is on a par for one row, and all beyond is quicker on the device. */
enum { LEAST_VOCABULARY = 4096 };

int mr_waiting_open(mr_lm *lm)
{
    lm->waiting.owner = mr_alloc((size_t)lm->options.sequences, sizeof(mr_sequence *));
    lm->waiting.logits = mr_alloc((size_t)lm->options.sequences, sizeof *lm->waiting.logits);
    return lm->waiting.owner && lm->waiting.logits ? 0 : MR_ENOMEM;
}

static void free_top(mr_lm *lm)
{
    mr_tensor_free(lm->rt, &lm->waiting.values);
    mr_tensor_free(lm->rt, &lm->waiting.ids);
    free(lm->waiting.value);
    free(lm->waiting.id);
    lm->waiting.value = NULL;
    lm->waiting.id = NULL;
    lm->waiting.capacity = 0;
}

void mr_waiting_close(mr_lm *lm)
{
    free_top(lm);
    free(lm->waiting.owner);
    free(lm->waiting.logits);
}

void mr_waiting_keep(mr_sequence *s, int row)
{
    mr_lm *lm = s->lm;
    lm->waiting.owner[s->row = row] = s;
    if (row >= lm->waiting.rows)
        lm->waiting.rows = row + 1;
    lm->waiting.k = 0;
}

void mr_waiting_drop(mr_sequence *s)
{
    mr_lm *lm = s->lm;
    if (s->row >= 0)
        lm->waiting.owner[s->row] = NULL;
    s->row = -1;
    while (lm->waiting.rows && !lm->waiting.owner[lm->waiting.rows - 1])
        lm->waiting.rows--;
}

/* What waits is of no use. */
static int lose_all(mr_lm *lm, int err)
{
    for (int i = lm->waiting.rows - 1; i >= 0; i--)
        if (lm->waiting.owner[i]) {
            lm->waiting.owner[i]->lost = true;
            mr_waiting_drop(lm->waiting.owner[i]);
        }
    return err;
}

static int fetch(mr_lm *lm)
{
    mr_sequence *const *owner = lm->waiting.owner;
    for (int i = 0; i < lm->waiting.rows; i++)
        lm->waiting.logits[i] = owner[i] ? owner[i]->logits : NULL;
    MR_TRY(mr_workspace_first_logits(lm->ws, lm->waiting.rows, lm->waiting.logits));
    for (int i = 0; i < lm->waiting.rows; i++)
        if (owner[i])
            MR_TRY(mr_sequence_check_numbers(owner[i], owner[i]->logits, lm->model->cfg.vocab_size));
    return 0;
}

int mr_waiting_fetch(mr_lm *lm)
{
    if (!lm->waiting.rows)
        return 0;
    int err = fetch(lm);
    if (err)
        return lose_all(lm, err);
    for (int i = lm->waiting.rows - 1; i >= 0; i--)
        if (lm->waiting.owner[i])
            mr_waiting_drop(lm->waiting.owner[i]);
    return 0;
}

int mr_waiting_needs(const mr_lm *lm, const struct mr_sampling *how)
{
    int vocab = lm->model->cfg.vocab_size, k = how->temperature == 0 ? 1 : how->top_k;
    bool plain = how->repetition_penalty == 1 && how->presence_penalty == 0 && how->frequency_penalty == 0 &&
                 !how->bias_count && !how->logprobs;
    return plain && vocab >= LEAST_VOCABULARY && k <= MR_TOP && k < vocab ? k : 0;
}

static int read_top(mr_lm *lm, int k)
{
    size_t count = (size_t)lm->waiting.rows * (size_t)k;
    if (count > lm->waiting.capacity) {
        free_top(lm);
        MR_TRY(mr_tensor_alloc(lm->rt, &lm->waiting.values, MR_F32, count));
        MR_TRY(mr_tensor_alloc(lm->rt, &lm->waiting.ids, MR_I32, count));
        lm->waiting.value = mr_alloc(count, sizeof *lm->waiting.value);
        lm->waiting.id = mr_alloc(count, sizeof *lm->waiting.id);
        if (!lm->waiting.value || !lm->waiting.id)
            return MR_ENOMEM;
        lm->waiting.capacity = count;
    }
    MR_TRY(mr_top(lm->rt, &lm->ws->logits, lm->waiting.rows, lm->model->cfg.vocab_size, k, &lm->waiting.values,
                  &lm->waiting.ids));
    MR_TRY(mr_read(lm->rt, &lm->waiting.values, 0, count, lm->waiting.value));
    MR_TRY(mr_read(lm->rt, &lm->waiting.ids, 0, count, lm->waiting.id));
    lm->waiting.k = k;
    for (int i = 0; i < lm->waiting.rows; i++)
        if (lm->waiting.owner[i])
            MR_TRY(mr_sequence_check_numbers(lm->waiting.owner[i], lm->waiting.value + (size_t)i * (size_t)k, k));
    return 0;
}

int mr_waiting_top(mr_lm *lm, int k)
{
    if (!lm->waiting.rows || k <= lm->waiting.k)
        return 0;
    lm->waiting.k = 0;
    int err = read_top(lm, k);
    return err ? lose_all(lm, err) : 0;
}

int32_t mr_waiting_draw(mr_sequence *s, const struct mr_sampling *how)
{
    const mr_lm *lm = s->lm;
    size_t at = (size_t)s->row * (size_t)lm->waiting.k;
    return mr_sampler_draw_ranked(s->sampler, how, lm->waiting.value + at, lm->waiting.id + at,
                                  mr_waiting_needs(lm, how), s->drawn);
}
