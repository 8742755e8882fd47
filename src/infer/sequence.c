/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sequences: texts being read and continued. Prompts are read in chunks, then token by token, several texts together,
 * with states of constant size. Models that have no such state (reference mode), or have learned positions and are
 * past the last, read the last block again for every token, as published. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "infer/lm.h"

int mr_sequence_open(mr_sequence **out, mr_lm *lm)
{
    int slot = 0, err = MR_ENOMEM;
    while (slot < lm->options.sequences && lm->taken[slot])
        slot++;
    if (slot == lm->options.sequences)
        return mr_fail(MR_ENOMEM, "all %d sequences of this model are open: close one, or open the model for more",
                       lm->options.sequences);
    mr_sequence *s = mr_alloc(1, sizeof *s);
    if (!s)
        return err;
    s->lm = lm;
    s->slot = s->row = -1;
    MR_GO(mr_sampler_create(&s->sampler, lm->model->cfg.vocab_size));
    if (!(s->logits = mr_alloc((size_t)lm->model->cfg.vocab_size, sizeof *s->logits))) {
        err = MR_ENOMEM;
        goto fail;
    }
    lm->taken[s->slot = slot] = true;
    MR_GO(mr_sequence_rewind(s));
    *out = s;
    return 0;
fail:
    mr_sequence_close(s);
    return err;
}

void mr_sequence_close(mr_sequence *s)
{
    if (!s)
        return;
    if (s->slot >= 0)
        s->lm->taken[s->slot] = false;
    mr_waiting_drop(s);
    free(s->tokens);
    free(s->logits);
    mr_sampler_free(s->sampler);
    free(s);
}

int mr_sequence_rewind(mr_sequence *s)
{
    s->lost = true;
    mr_waiting_drop(s);
    s->count = 0;
    s->drawn = 0;
    mr_sampler_reset(s->sampler);
    s->rereads = !s->lm->states;
    if (s->lm->states)
        MR_TRY(mr_states_zero(s->lm->states, s->slot));
    s->lost = false;
    return 0;
}

int mr_sequence_check(const mr_sequence *s)
{
    return s->lost ? mr_fail(MR_EINVAL, "this sequence lost its text when an earlier call failed: rewind or restore it")
                   : 0;
}

/* Whether the tokens themselves are needed later. */
static bool remembers(const mr_sequence *s)
{
    return s->rereads || mr_lm_is_limited(s->lm);
}

static int make_room(mr_sequence *s, size_t more)
{
    if (!remembers(s) || s->count + more <= s->capacity)
        return 0;
    size_t capacity = 2 * (s->count + more) + 64;
    int32_t *grown = mr_realloc(s->tokens, capacity, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    s->tokens = grown;
    s->capacity = capacity;
    return 0;
}

static void remember(mr_sequence *s, const int32_t *tokens, int count)
{
    for (int i = 0; i < count; i++)
        mr_sampler_see(s->sampler, tokens[i]);
    if (remembers(s))
        memcpy(s->tokens + s->count, tokens, (size_t)count * sizeof *tokens);
    s->count += (size_t)count;
}

static int copy_sampler(mr_sampler *to, mr_sampler *from, size_t vocab_size)
{
    size_t count;
    const struct mr_drawn *drawn = mr_sampler_drawn(from, &count);
    memcpy(mr_sampler_seen(to), mr_sampler_seen(from), vocab_size);
    return mr_sampler_set_drawn(to, drawn, count);
}

int mr_sequence_copy(mr_sequence *to, const mr_sequence *from)
{
    size_t vocab = (size_t)from->lm->model->cfg.vocab_size;
    if (to->lm != from->lm)
        return mr_fail(MR_EINVAL, "a sequence can only be copied to another of the same model");
    if (to == from)
        return 0;
    MR_TRY(mr_sequence_check(from));
    MR_TRY(mr_waiting_fetch(from->lm));
    to->lost = true;
    to->count = 0;
    to->rereads = from->rereads;
    MR_TRY(make_room(to, from->count));
    if (to->lm->states && !from->rereads)
        MR_TRY(mr_states_copy(to->lm->states, from->slot, to->slot));
    if (remembers(from))
        memcpy(to->tokens, from->tokens, from->count * sizeof *from->tokens);
    memcpy(to->logits, from->logits, vocab * sizeof *to->logits);
    MR_TRY(copy_sampler(to->sampler, from->sampler, vocab));
    to->count = from->count;
    to->drawn = from->drawn;
    to->lost = false;
    return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

int mr_sequence_check_numbers(const mr_sequence *s, const float *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        if (isfinite(numbers[i]))
            continue;
        char where[MR_NAME];
        mr_workspace *ws = s->rereads ? s->lm->block : s->lm->ws;
        MR_TRY(mr_first_not_finite(ws, where));
        return mr_fail(MR_ENUMERIC, "the logits after token %lld are not finite; the first is in %s",
                       (long long)s->count, where);
    }
    return 0;
}

/* The last block of the text from the start, logits of its last token. */
static int reread(mr_sequence *s)
{
    mr_lm *lm = s->lm;
    size_t block = (size_t)lm->model->cfg.block_size, n = s->count < block ? s->count : block;
    const struct mr_piece piece = {-1, s->tokens + s->count - n, (int)n, MR_LOGITS_LAST};
    MR_TRY(mr_lm_block(lm));
    MR_TRY(mr_run(lm->block, NULL, &piece, 1));
    MR_TRY(mr_workspace_logits(lm->block, 0, 1, s->logits));
    return mr_sequence_check_numbers(s, s->logits, lm->model->cfg.vocab_size);
}

/* Whether the i-th sequence may be advanced together with those before it, by `more` tokens. */
static int check_together(mr_sequence *s, const mr_sequence *before, size_t more)
{
    if (s->lm != before->lm)
        return mr_fail(MR_EINVAL, "sequences of different models cannot be advanced in one call");
    MR_TRY(mr_sequence_check(s));
    return make_room(s, more);
}

static int twice(void)
{
    return mr_fail(MR_EINVAL, "the same sequence is given twice in one call");
}

/* Nothing has changed when this fails. */
static int check_feeds(const struct mr_feed *feeds, int count)
{
    for (int i = 0; i < count; i++) {
        const mr_lm *lm = feeds[i].sequence->lm;
        MR_TRY(check_together(feeds[i].sequence, feeds[0].sequence, (size_t)(feeds[i].count > 0 ? feeds[i].count : 0)));
        for (int j = 0; j < i; j++)
            if (feeds[i].sequence == feeds[j].sequence)
                return twice();
        for (int j = 0; j < feeds[i].count; j++)
            if (feeds[i].tokens[j] < 0 || feeds[i].tokens[j] >= lm->model->cfg.vocab_size)
                return mr_fail(MR_EINVAL, "token %d is outside the vocabulary of %d", feeds[i].tokens[j],
                               lm->model->cfg.vocab_size);
    }
    return 0;
}

/* Reads the next chunk of every feed that has tokens from `done` on, together; *left tells whether there are more.
 * keep: the logits stay on the device. */
static int read_chunk(mr_lm *lm, const struct mr_feed *feeds, int count, int done, bool keep, bool *left)
{
    int chunk = lm->ws->options.time, pieces = 0, rows = 0;
    *left = false;
    for (int i = 0; i < count; i++) {
        int n = feeds[i].count - done;
        if (n < 1 || feeds[i].sequence->rereads)
            continue;
        lm->pieces[pieces++] = (struct mr_piece){feeds[i].sequence->slot, feeds[i].tokens + done, n < chunk ? n : chunk,
                                                 n <= chunk ? MR_LOGITS_LAST : MR_LOGITS_NONE};
        *left = *left || n > chunk;
        if (n <= chunk)
            lm->ended[rows++] = feeds[i].sequence;
    }
    if (!pieces)
        return 0;
    MR_TRY(mr_run(lm->ws, lm->states, lm->pieces, pieces));
    for (int i = 0; i < rows; i++)
        mr_waiting_keep(lm->ended[i], i);
    return keep ? 0 : mr_waiting_fetch(lm);
}

/* keep: each feed is one token, and its logits may stay on the device. */
static int read_feeds(mr_lm *lm, const struct mr_feed *feeds, int count, bool keep)
{
    bool left = true;
    int most = 0;
    for (int i = 0; i < count; i++)
        if (feeds[i].count > 0)
            mr_waiting_drop(feeds[i].sequence);
    MR_TRY(mr_waiting_fetch(lm)); /* what others have there is overwritten */
    for (int i = 0; i < count; i++) {
        mr_sequence *s = feeds[i].sequence;
        if (feeds[i].count < 1)
            continue;
        most = feeds[i].count > most ? feeds[i].count : most;
        if (mr_lm_is_limited(lm) && s->count + (size_t)feeds[i].count > (size_t)lm->model->cfg.block_size)
            s->rereads = true;
        remember(s, feeds[i].tokens, feeds[i].count);
    }
    for (int done = 0; left && lm->ws; done += lm->ws->options.time) {
        MR_TRY(read_chunk(lm, feeds, count, done, keep, &left));
        if (left)
            MR_TRY(mr_lm_progress(lm, (double)(done + lm->ws->options.time) / most, "reading the prompt"));
    }
    for (int i = 0; i < count; i++)
        if (feeds[i].sequence->rereads && feeds[i].count > 0)
            MR_TRY(reread(feeds[i].sequence));
    return 0;
}

static int feed(const struct mr_feed *feeds, int count, bool keep)
{
    if (count < 1)
        return 0;
    MR_TRY(check_feeds(feeds, count));
    mr_lm *lm = feeds[0].sequence->lm;
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(lm->rt));
    int err = read_feeds(lm, feeds, count, keep);
    mr_log_divert(before);
    for (int i = 0; err && i < count; i++)
        if (feeds[i].count > 0)
            feeds[i].sequence->lost = true;
    return err;
}

int mr_sequences_feed(const struct mr_feed *feeds, int count)
{
    return feed(feeds, count, false);
}

int mr_sequence_feed(mr_sequence *s, const int32_t *tokens, int count)
{
    return mr_sequences_feed(&(struct mr_feed){s, tokens, count}, 1);
}

int mr_sequence_prompt(mr_sequence *s, const char *text, size_t size)
{
    struct mr_ids ids = {0};
    int err = mr_lm_encode(s->lm, text, size, s->lm->options.special != 0, mr_sequence_position(s) == 0, &ids);
    if (!err)
        err = ids.count > 1 << 30 ? mr_fail(MR_EINVAL, "a prompt of %zu tokens is too long", ids.count)
                                  : mr_sequence_feed(s, (const int32_t *)ids.id, (int)ids.count);
    mr_ids_free(&ids);
    return err;
}

/* Small positive numbers, which no recurrence makes infinite and no divisor 0, in all of a tensor. */
static int fill(mr_runtime *rt, const mr_tensor *t)
{
    enum { PIECE = 4096 };
    float piece[PIECE];
    size_t done = t->count < PIECE ? t->count : PIECE;
    for (size_t i = 0; i < done; i++)
        piece[i] = 0.01f + 1e-4f * (float)(i * 37 % 101);
    MR_TRY(mr_write(rt, t, 0, done, piece));
    for (size_t n; done < t->count; done += n) {
        n = t->count - done < done ? t->count - done : done;
        MR_TRY(mr_copy(rt, t, 0, t, done, n));
    }
    return 0;
}

int mr_sequence_pretend(mr_sequence *s, int64_t position)
{
    mr_lm *lm = s->lm;
    MR_TRY(mr_sequence_rewind(s));
    if (position < 0 || position > INT32_MAX)
        return mr_fail(MR_EINVAL, "a text of %lld tokens cannot be pretended", (long long)position);
    s->rereads = s->rereads || (mr_lm_is_limited(lm) && position > lm->model->cfg.block_size);
    MR_TRY(make_room(s, (size_t)position));
    if (remembers(s))
        memset(s->tokens, 0, (size_t)position * sizeof *s->tokens);
    s->count = (size_t)position;
    if (!lm->states || s->rereads || !position)
        return 0;
    for (int i = 0; i < lm->states->count; i++) {
        const mr_tensor *view;
        MR_TRY(mr_states_view(lm->states, i, s->slot, &view));
        MR_TRY(fill(lm->rt, view));
    }
    lm->states->position[s->slot] = position;
    return 0;
}

/* ---- continuing ------------------------------------------------------------------------------------------------- */

static int check_begun(const mr_sequence *s)
{
    MR_TRY(mr_sequence_check(s));
    return s->count ? 0 : mr_fail(MR_EINVAL, "nothing has been read yet: a text needs a prompt of at least one token");
}

int mr_sequence_logits(const mr_sequence *s, const float **logits)
{
    MR_TRY(check_begun(s));
    MR_TRY(mr_waiting_fetch(s->lm));
    *logits = s->logits;
    return 0;
}

int mr_sequence_logprobs(const mr_sequence *s, int32_t id, struct mr_logprob *list, int count)
{
    int vocab = s->lm->model->cfg.vocab_size;
    MR_TRY(check_begun(s));
    if (id < 0 || id >= vocab || count < 0 || count > vocab)
        return mr_fail(MR_EINVAL, "token %d and the %d likeliest of a vocabulary of %d", id, count, vocab);
    MR_TRY(mr_waiting_fetch(s->lm));
    mr_sampler_logprobs(s->sampler, s->logits, id, list, count);
    return 0;
}

/* The i-th of a list whose elements may be of another size than ours. */
static int take_sampling(struct mr_sampling *how, const struct mr_sampling *list, int i, int vocab_size)
{
    mr_sampling_defaults(how, sizeof *how);
    MR_TRY(mr_take_options(how, sizeof *how, list ? (const char *)list + (size_t)i * list->size : NULL, "mr_sampling"));
    return mr_sampling_check(how, vocab_size);
}

static bool ends_text(const mr_lm *lm, const struct mr_sampling *how, int32_t id)
{
    for (int i = 0; i < how->stop_count; i++)
        if (how->stop_tokens[i] == id)
            return true;
    return id == mr_lm_end_token(lm);
}

/* Draws the next token; nothing changes yet. */
static int draw(mr_sequence *s, const struct mr_sampling *how, int32_t *id, int *more)
{
    *id = s->row < 0 ? mr_sampler_draw(s->sampler, how, s->logits, s->drawn) : mr_waiting_draw(s, how);
    MR_TRY(*id);
    if (how->logprobs)
        mr_sampler_logprobs(s->sampler, s->logits, *id, how->logprobs, how->logprob_count);
    *more = !ends_text(s->lm, how, *id);
    return 0;
}

/* Reads what the draws need of the logits that wait. */
static int read_waiting(mr_sequence *const *sequences, const struct mr_sampling *sampling, int count)
{
    struct mr_sampling how;
    int most = 0;
    for (int i = 0; i < count; i++) {
        if (sequences[i]->row < 0)
            continue;
        MR_TRY(take_sampling(&how, sampling, i, INT_MAX));
        int k = mr_waiting_needs(sequences[i]->lm, &how);
        if (!k)
            return mr_waiting_fetch(sequences[i]->lm);
        most = k > most ? k : most;
    }
    return mr_waiting_top(sequences[0]->lm, most);
}

int mr_sequences_next(mr_sequence *const *sequences, const struct mr_sampling *sampling, int32_t *ids, int *more,
                      int count)
{
    struct mr_sampling how;
    int feeding = 0;
    if (count < 1)
        return 0;
    struct mr_feed *feeds = sequences[0]->lm->feeds;
    for (int i = 0; i < count; i++) {
        MR_TRY(take_sampling(&how, sampling, i, mr_lm_vocab_size(sequences[i]->lm)));
        MR_TRY(check_begun(sequences[i]));
        MR_TRY(check_together(sequences[i], sequences[0], 1));
        for (int j = 0; j < i; j++)
            if (sequences[i] == sequences[j])
                MR_TRY(twice());
    }
    MR_TRY(read_waiting(sequences, sampling, count));
    for (int i = 0; i < count; i++) {
        MR_TRY(take_sampling(&how, sampling, i, INT_MAX));
        MR_TRY(draw(sequences[i], &how, &ids[i], &more[i]));
    }
    for (int i = 0; i < count; i++) {
        MR_TRY(take_sampling(&how, sampling, i, INT_MAX));
        sequences[i]->drawn++;
        if (more[i])
            MR_TRY(mr_sampler_count(sequences[i]->sampler, ids[i], how.penalty_decay));
        if (more[i])
            feeds[feeding++] = (struct mr_feed){sequences[i], &ids[i], 1};
    }
    return feed(feeds, feeding, true);
}

int mr_sequence_next(mr_sequence *s, const struct mr_sampling *sampling, int32_t *id)
{
    int more;
    MR_TRY(mr_sequences_next(&s, sampling, id, &more, 1));
    return more;
}

int64_t mr_sequence_position(const mr_sequence *s)
{
    return (int64_t)s->count;
}
