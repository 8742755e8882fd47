/* SPDX-License-Identifier: GPL-3.0-or-later
 * Several texts at once. As many as --batch run together; where one ends, the next one waiting takes its place. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "cli/generate.h"

struct many {
    const struct mr_generate *r;
    const struct mr_prompts *prompts;
    mr_lm *lm;
    mr_sequence *start;        /* what every text begins with; NULL: nothing */
    mr_sequence *scorer;       /* of echoes, or NULL */
    struct mr_echo echo;       /* of the one prompt */
    struct mr_answer *answers; /* [count], in order */
    size_t count, next;        /* next: the first one that waits */
    size_t printed;
    int64_t tokens;
    /* The texts that run are the first `running` rows of these, in no order. */
    int rows, running;
    mr_sequence **sequences;
    struct mr_sampling *sampling;
    size_t *answer; /* which one a row is */
    int32_t *ids;
    int *more;
};

static size_t count_of(const struct mr_generate *r, const struct mr_prompts *prompts)
{
    return r->prompts ? prompts->count : (size_t)r->samples;
}

static int rows_of(const struct mr_generate *r, const struct mr_prompts *prompts)
{
    size_t count = count_of(r, prompts);
    return count < (size_t)r->batch ? (int)count : (int)r->batch;
}

/* A prompt that is continued more than once is read once, and so is a saved state. */
static bool starts_alike(const struct mr_generate *r)
{
    return !r->prompts || r->state_in;
}

int mr_generate_many_sequences(const struct mr_generate *r, const struct mr_prompts *prompts)
{
    return rows_of(r, prompts) + starts_alike(r) + mr_echo_scores(r);
}

static void close_many(struct many *m)
{
    for (int i = 0; m->sequences && i < m->rows; i++)
        mr_sequence_close(m->sequences[i]);
    mr_sequence_close(m->start);
    mr_sequence_close(m->scorer);
    mr_echo_free(&m->echo);
    for (size_t i = 0; m->answers && i < m->count; i++)
        mr_answer_free(&m->answers[i]);
    free(m->answers);
    free(m->sequences);
    free(m->sampling);
    free(m->answer);
    free(m->ids);
    free(m->more);
}

/* Of a prompt that follows what `start` has read so far. */
static int echo(struct many *m, const struct mr_str *prompt, struct mr_echo *to)
{
    if (m->scorer)
        MR_TRY(m->r->state_in ? mr_sequence_copy(m->scorer, m->start) : mr_sequence_rewind(m->scorer));
    return mr_echo_read(to, m->r, m->lm, prompt, m->scorer);
}

/* The answer's own, or a share in the one of all. */
static int give_echo(struct many *m, const struct mr_str *prompt, struct mr_answer *a)
{
    if (m->r->prompts)
        return echo(m, prompt, &a->echo);
    a->echo = (struct mr_echo){json_incref(m->echo.tokens), json_incref(m->echo.logprobs)};
    return 0;
}

static int open_many(struct many *m)
{
    const struct mr_generate *r = m->r;
    size_t rows = (size_t)m->rows;
    m->answers = mr_alloc(m->count, sizeof *m->answers);
    m->sequences = mr_alloc(rows, sizeof(mr_sequence *));
    m->sampling = mr_alloc(rows, sizeof *m->sampling);
    m->answer = mr_alloc(rows, sizeof *m->answer);
    m->ids = mr_alloc(rows, sizeof *m->ids);
    m->more = mr_alloc(rows, sizeof *m->more);
    if (!m->answers || !m->sequences || !m->sampling || !m->answer || !m->ids || !m->more)
        return MR_ENOMEM;
    for (int i = 0; i < m->rows; i++)
        MR_TRY(mr_sequence_open(&m->sequences[i], m->lm));
    if (mr_echo_scores(r))
        MR_TRY(mr_sequence_open(&m->scorer, m->lm));
    if (!starts_alike(r))
        return 0;
    MR_TRY(mr_sequence_open(&m->start, m->lm));
    if (r->state_in)
        MR_TRY(mr_sequence_restore(m->start, r->state_in));
    if (!r->prompts)
        MR_TRY(echo(m, &m->prompts->list[0], &m->echo));
    return r->prompts ? 0 : mr_sequence_prompt(m->start, m->prompts->list[0].text, m->prompts->list[0].size);
}

/* The next text that waits gets a row. */
static int begin(struct many *m)
{
    const struct mr_generate *r = m->r;
    size_t i = m->next++;
    int row = m->running;
    struct mr_answer *a = &m->answers[i];
    mr_sequence *s = m->sequences[row];
    const struct mr_str *prompt = &m->prompts->list[r->prompts ? i : 0];
    int err = give_echo(m, prompt, a);
    if (err)
        return r->prompts ? mr_fail_in(err, "%s, line %zu", r->prompts, i + 1) : err;
    MR_TRY(mr_answer_begin(a, r, prompt));
    MR_TRY(m->start ? mr_sequence_copy(s, m->start) : mr_sequence_rewind(s));
    err = r->prompts ? mr_sequence_prompt(s, prompt->text, prompt->size) : 0;
    if (err)
        return mr_fail_in(err, "%s, line %zu", r->prompts, i + 1);
    a->total_s = mr_now() - a->began;
    a->ended = r->max_tokens == 0;
    if (a->ended)
        return 0;
    m->answer[row] = i;
    m->sampling[row] = r->sampling;
    m->sampling[row].logprobs = a->likely;
    if (!r->prompts)
        m->sampling[row].seed += i;
    m->running++;
    return 0;
}

/* The last row takes the place of this one. */
static void end(struct many *m, int row)
{
    int last = --m->running;
    mr_sequence *s = m->sequences[row];
    m->sequences[row] = m->sequences[last];
    m->sequences[last] = s;
    m->sampling[row] = m->sampling[last];
    m->answer[row] = m->answer[last];
}

/* One token for every text that runs. */
static int step(struct many *m)
{
    MR_TRY(mr_sequences_next(m->sequences, m->sampling, m->ids, m->more, m->running));
    for (int row = m->running - 1; row >= 0; row--) {
        int ended = mr_answer_take(&m->answers[m->answer[row]], m->r, m->lm, m->ids[row], m->more[row]);
        MR_TRY(ended);
        m->tokens += m->more[row] != 0;
        if (ended)
            end(m, row);
    }
    return 0;
}

/* Those in order that have ended, or with `all` have come further than their prompt. */
static int print(struct many *m, bool all)
{
    for (; m->printed < m->count; m->printed++) {
        struct mr_answer *a = &m->answers[m->printed];
        if (!a->ended && !(all && a->count))
            return 0;
        MR_TRY(mr_answer_finish(a, m->r));
        mr_answer_free(a);
    }
    return 0;
}

static int run(struct many *m)
{
    MR_TRY(open_many(m));
    while (m->printed < m->count) {
        while (m->running < m->rows && m->next < m->count)
            MR_TRY(begin(m));
        if (*m->r->stopped)
            return mr_fail(MR_EINTERRUPTED, "stopped");
        if (m->running)
            MR_TRY(step(m));
        MR_TRY(print(m, false));
    }
    return 0;
}

int mr_generate_many(const struct mr_generate *r, mr_lm *lm, const struct mr_prompts *prompts)
{
    struct many m = {.r = r, .prompts = prompts, .lm = lm, .count = count_of(r, prompts), .rows = rows_of(r, prompts)};
    struct mr_error_kept kept;
    double began = mr_now();
    int err = run(&m);
    if (err && m.answers && !ferror(stdout)) { /* what there is of the others */
        mr_error_keep(&kept);
        print(&m, true);
        mr_error_restore(&kept);
    }
    if (!err) {
        double seconds = mr_now() - began;
        fprintf(stderr, "length: %lld tokens in %zu texts, inference time: %.3f s, %.1f tokens/s\n",
                (long long)m.tokens, m.count, seconds, (double)m.tokens / (seconds > 1e-9 ? seconds : 1e-9));
    }
    close_many(&m);
    return err;
}
