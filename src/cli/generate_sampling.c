/* SPDX-License-Identifier: GPL-3.0-or-later
 * From the words of the command line to how tokens are drawn. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/generate.h"
#include "infer/sampler.h"

void mr_sampling_words_init(struct mr_sampling_words *words)
{
    struct mr_sampling s;
    mr_sampling_defaults(&s, sizeof s);
    *words = (struct mr_sampling_words){.temperature = (double)s.temperature,
                                        .top_p = (double)s.top_p,
                                        .min_p = (double)s.min_p,
                                        .repetition_penalty = (double)s.repetition_penalty,
                                        .presence_penalty = (double)s.presence_penalty,
                                        .frequency_penalty = (double)s.frequency_penalty,
                                        .penalty_decay = (double)s.penalty_decay,
                                        .top_k = s.top_k};
}

void mr_sampling_words_free(struct mr_sampling_words *words)
{
    mr_words_free(&words->biases);
    mr_words_free(&words->stop_tokens);
}

/* A token's id up to a character `end`; false: it is none. */
static bool read_id(const char *word, char end, int32_t *id, const char **rest)
{
    char *at;
    errno = 0;
    long long n = strtoll(word, &at, 10);
    if (*word < '0' || *word > '9' || *at != end || errno || n > INT32_MAX)
        return false;
    *id = (int32_t)n;
    *rest = at + (end != 0);
    return true;
}

static int take_stop_tokens(struct mr_generate *r, const struct mr_words *words)
{
    const char *rest;
    if (!(r->stop_tokens = mr_alloc((size_t)words->count, sizeof *r->stop_tokens)))
        return MR_ENOMEM;
    for (int i = 0; i < words->count; i++)
        if (!read_id(words->word[i], 0, &r->stop_tokens[i], &rest))
            return mr_fail(MR_EINVAL, "--stop-token must be the id of a token, not \"%s\"", words->word[i]);
    r->sampling.stop_tokens = r->stop_tokens;
    r->sampling.stop_count = words->count;
    return 0;
}

static int take_biases(struct mr_generate *r, const struct mr_words *words)
{
    if (!(r->biases = mr_alloc((size_t)words->count, sizeof *r->biases)))
        return MR_ENOMEM;
    for (int i = 0; i < words->count; i++) {
        struct mr_logit_bias *b = &r->biases[i];
        const char *number;
        char *end;
        bool fine = read_id(words->word[i], '=', &b->id, &number);
        b->bias = fine ? strtof(number, &end) : 0;
        if (!fine || end == number || *end || isnan(b->bias))
            return mr_fail(MR_EINVAL, "--logit-bias must be ID=X with a token's id and a number or -inf, not \"%s\"",
                           words->word[i]);
    }
    r->sampling.bias = r->biases;
    r->sampling.bias_count = words->count;
    return 0;
}

int mr_sampling_words_take(struct mr_generate *r, const struct mr_sampling_words *words)
{
    struct mr_sampling *s = &r->sampling;
    if (words->top_k < 0 || words->top_k > INT32_MAX)
        return mr_fail(MR_EINVAL, "--top-k must be 0 (all) or more, not %lld", (long long)words->top_k);
    if (r->logprobs > INT32_MAX)
        return mr_fail(MR_EINVAL, "--logprobs must be at most the vocabulary's tokens, not %lld",
                       (long long)r->logprobs);
    if (r->logprobs >= 0 && !r->common.json)
        return mr_fail(MR_EINVAL, "--logprobs adds to the line of --json: give --json too");
    s->temperature = (float)words->temperature;
    s->top_k = (int)words->top_k;
    s->top_p = (float)words->top_p;
    s->min_p = (float)words->min_p;
    s->repetition_penalty = (float)words->repetition_penalty;
    s->presence_penalty = (float)words->presence_penalty;
    s->frequency_penalty = (float)words->frequency_penalty;
    s->penalty_decay = (float)words->penalty_decay;
    s->logprob_count = r->logprobs < 0 ? 0 : (int)r->logprobs;
    MR_TRY(take_stop_tokens(r, &words->stop_tokens));
    MR_TRY(take_biases(r, &words->biases));
    return mr_sampling_check(s, INT_MAX);
}
