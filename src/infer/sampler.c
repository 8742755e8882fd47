/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "infer/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/error.h"
#include "base/philox.h"

struct candidate {
    float logit;
    int32_t id;
};

struct mr_sampler {
    int vocab_size;
    uint8_t *seen; /* 1: read or drawn before */
    struct mr_drawn *drawn;
    size_t drawn_count, drawn_capacity;
    struct candidate *candidates; /* [vocab_size] */
    double *weights;
};

void mr_sampling_defaults(struct mr_sampling *sampling, size_t size)
{
    const struct mr_sampling defaults = {
        .temperature = 0.8f, .top_k = 200, .top_p = 1, .repetition_penalty = 1, .penalty_decay = 1, .seed = 1337};
    mr_give_defaults(sampling, size, &defaults, sizeof defaults);
}

static int check_penalties(const struct mr_sampling *how)
{
    const struct {
        const char *name;
        float value, low, high;
    } list[] = {{"--repetition-penalty", how->repetition_penalty, 0.01f, 100},
                {"--presence-penalty", how->presence_penalty, -100, 100},
                {"--frequency-penalty", how->frequency_penalty, -100, 100},
                {"--penalty-decay", how->penalty_decay, 0, 1},
                {"--min-p", how->min_p, 0, 1}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!(list[i].value >= list[i].low && list[i].value <= list[i].high))
            return mr_fail(MR_EINVAL, "%s must be in [%g, %g], not %g", list[i].name, (double)list[i].low,
                           (double)list[i].high, (double)list[i].value);
    return 0;
}

static int check_tokens(const struct mr_sampling *how, int vocab_size)
{
    static const char outside[] = "%s: token %d is outside the vocabulary of %d";
    for (int i = 0; i < how->bias_count; i++) {
        const struct mr_logit_bias *b = &how->bias[i];
        if (b->id < 0 || b->id >= vocab_size)
            return mr_fail(MR_EINVAL, outside, "--logit-bias", b->id, vocab_size);
        if (!(b->bias >= -1e3f && b->bias <= 1e3f) && b->bias != -INFINITY)
            return mr_fail(MR_EINVAL, "--logit-bias %d: the bias must be -inf or in [-1000, 1000], not %g", b->id,
                           (double)b->bias);
    }
    for (int i = 0; i < how->stop_count; i++)
        if (how->stop_tokens[i] < 0 || how->stop_tokens[i] >= vocab_size)
            return mr_fail(MR_EINVAL, outside, "--stop-token", how->stop_tokens[i], vocab_size);
    if (how->logprob_count < 0 || how->logprob_count > vocab_size)
        return mr_fail(MR_EINVAL, "--logprobs must be between 0 and the vocabulary's %d tokens, not %d", vocab_size,
                       how->logprob_count);
    return 0;
}

int mr_sampling_check(const struct mr_sampling *how, int vocab_size)
{
    if (how->temperature != 0 && !(how->temperature >= 1e-3f && how->temperature <= 1e3f))
        return mr_fail(MR_EINVAL, "--temperature must be 0 or in [0.001, 1000], not %g", how->temperature);
    if (how->top_k < 0)
        return mr_fail(MR_EINVAL, "--top-k must be 0 (all) or more, not %d", how->top_k);
    if (!(how->top_p > 0 && how->top_p <= 1))
        return mr_fail(MR_EINVAL, "--top-p must be in (0, 1], not %g", how->top_p);
    MR_TRY(check_penalties(how));
    return check_tokens(how, vocab_size);
}

int mr_sampler_create(mr_sampler **out, int vocab_size)
{
    mr_sampler *s = mr_alloc(1, sizeof *s);
    if (!s)
        return MR_ENOMEM;
    s->vocab_size = vocab_size;
    s->seen = mr_alloc((size_t)vocab_size, sizeof *s->seen);
    s->candidates = mr_alloc((size_t)vocab_size, sizeof *s->candidates);
    s->weights = mr_alloc((size_t)vocab_size, sizeof *s->weights);
    if (!s->seen || !s->candidates || !s->weights) {
        mr_sampler_free(s);
        return MR_ENOMEM;
    }
    *out = s;
    return 0;
}

void mr_sampler_free(mr_sampler *s)
{
    if (!s)
        return;
    free(s->seen);
    free(s->drawn);
    free(s->candidates);
    free(s->weights);
    free(s);
}

void mr_sampler_reset(mr_sampler *s)
{
    memset(s->seen, 0, (size_t)s->vocab_size * sizeof *s->seen);
    s->drawn_count = 0;
}

void mr_sampler_see(mr_sampler *s, int32_t token)
{
    if (token >= 0 && token < s->vocab_size)
        s->seen[token] = 1;
}

uint8_t *mr_sampler_seen(mr_sampler *s)
{
    return s->seen;
}

const struct mr_drawn *mr_sampler_drawn(const mr_sampler *s, size_t *count)
{
    *count = s->drawn_count;
    return s->drawn;
}

int mr_sampler_set_drawn(mr_sampler *s, const void *drawn, size_t count)
{
    MR_TRY(mr_grow(&s->drawn, &s->drawn_capacity, count, sizeof *s->drawn));
    if (count)
        memcpy(s->drawn, drawn, count * sizeof *s->drawn);
    s->drawn_count = count;
    return 0;
}

int mr_sampler_count(mr_sampler *s, int32_t token, float decay)
{
    struct mr_drawn *known = NULL;
    for (size_t i = 0; i < s->drawn_count; i++) {
        s->drawn[i].count *= decay;
        if (s->drawn[i].id == token)
            known = &s->drawn[i];
    }
    if (!known) {
        MR_TRY(mr_grow(&s->drawn, &s->drawn_capacity, s->drawn_count + 1, sizeof *s->drawn));
        known = &s->drawn[s->drawn_count++];
        *known = (struct mr_drawn){.id = token};
    }
    known->count += 1;
    return 0;
}

/* Whether a comes before b: the larger logit, the lower id among equals. */
static bool before(struct candidate a, struct candidate b)
{
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

static int by_rank(const void *a, const void *b)
{
    return before(*(const struct candidate *)a, *(const struct candidate *)b) ? -1 : 1;
}

/* All tokens with their logits, biased and penalised. */
static void fill_candidates(const mr_sampler *s, const struct mr_sampling *how, const float *logits)
{
    struct candidate *c = s->candidates;
    float repetition = how->repetition_penalty;
    for (int i = 0; i < s->vocab_size; i++)
        c[i] = (struct candidate){logits[i], i};
    for (int i = 0; i < how->bias_count; i++)
        c[how->bias[i].id].logit += how->bias[i].bias;
    for (int i = 0; repetition != 1 && i < s->vocab_size; i++)
        if (s->seen[i])
            c[i].logit = c[i].logit > 0 ? c[i].logit / repetition : c[i].logit * repetition;
    if (how->presence_penalty == 0 && how->frequency_penalty == 0)
        return;
    for (size_t i = 0; i < s->drawn_count; i++)
        c[s->drawn[i].id].logit -= how->presence_penalty + s->drawn[i].count * how->frequency_penalty;
}

static struct candidate largest(const struct candidate *c, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (before(c[i], c[best]))
            best = i;
    return c[best];
}

/* Moves the last of the k candidates at `root` down: the heap has the last-ranked one on top. */
static void sift(struct candidate *heap, int root, int k)
{
    for (int child; (child = 2 * root + 1) < k; root = child) {
        if (child + 1 < k && before(heap[child], heap[child + 1]))
            child++;
        if (!before(heap[root], heap[child]))
            return;
        struct candidate swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

/* The k best of n candidates to the front, in any order: O(n log k), in practice close to n. */
static void select_best(struct candidate *c, int n, int k)
{
    for (int i = k / 2 - 1; i >= 0; i--)
        sift(c, i, k);
    for (int i = k; i < n; i++) {
        if (before(c[i], c[0])) {
            c[0] = c[i];
            sift(c, 0, k);
        }
    }
}

/* How many of the n candidates, from the most likely one on, reach the share top_p of the sum of their weights. */
static int reach(const double *weights, int n, double wanted, double *reached)
{
    int kept = 0;
    *reached = 0;
    while (kept < n && *reached < wanted)
        *reached += weights[kept++];
    return kept > 0 ? kept : 1;
}

/* Drops the candidates that are less than min_p times as likely as the likeliest, whose weight is 1. */
static int drop_unlikely(mr_sampler *s, int n, double min_p, double *total)
{
    int kept = 0;
    *total = 0;
    for (int i = 0; i < n; i++) {
        if (s->weights[i] < min_p)
            continue;
        s->candidates[kept] = s->candidates[i];
        *total += s->weights[kept++] = s->weights[i];
    }
    return kept;
}

static int all_banned(void)
{
    return mr_fail(MR_EINVAL, "no token is left to be drawn: --logit-bias bans all of them");
}

/* One of the first n candidates; top_k has been obeyed. */
static int32_t draw_among(mr_sampler *s, const struct mr_sampling *how, int n, uint64_t draw)
{
    const struct candidate *c = s->candidates;
    float top = c[0].logit;
    for (int i = 1; i < n; i++)
        top = fmaxf(top, c[i].logit);
    if (top == -INFINITY)
        return all_banned();
    double total = 0;
    for (int i = 0; i < n; i++)
        total += s->weights[i] = exp(((double)c[i].logit - top) / how->temperature);
    if (how->top_p < 1)
        n = reach(s->weights, n, how->top_p * total, &total);
    if (how->min_p > 0)
        n = drop_unlikely(s, n, how->min_p, &total);
    struct mr_philox draws = {.seed = how->seed, .stream = MR_STREAM_SAMPLING, .step = draw};
    uint32_t w[4];
    mr_philox_block(&draws, 0, w);
    double at = ((double)w[0] + (w[1] >> 12) * 0x1p-20) * 0x1p-32 * total;
    int last = 0;
    for (int i = 0; i < n; i++) {
        at -= s->weights[i];
        if (at < 0)
            return c[i].id;
        last = s->weights[i] > 0 ? i : last;
    }
    return c[last].id;
}

int32_t mr_sampler_draw(mr_sampler *s, const struct mr_sampling *how, const float *logits, uint64_t draw)
{
    int n = s->vocab_size;
    struct candidate *c = s->candidates;
    fill_candidates(s, how, logits);
    if (how->temperature == 0) {
        struct candidate best = largest(c, n);
        return best.logit == -INFINITY ? all_banned() : best.id;
    }
    if (how->top_k > 0 && how->top_k < n) {
        select_best(c, n, how->top_k);
        n = how->top_k;
    }
    if (how->top_p < 1 || n < s->vocab_size)
        qsort(c, (size_t)n, sizeof *c, by_rank);
    return draw_among(s, how, n, draw);
}

int32_t mr_sampler_draw_ranked(mr_sampler *s, const struct mr_sampling *how, const float *logits, const int32_t *ids,
                               int k, uint64_t draw)
{
    if (how->temperature == 0)
        return ids[0];
    for (int i = 0; i < k; i++)
        s->candidates[i] = (struct candidate){logits[i], ids[i]};
    return draw_among(s, how, k, draw);
}

void mr_sampler_logprobs(mr_sampler *s, const float *logits, int32_t id, struct mr_logprob *list, int count)
{
    struct candidate *c = s->candidates;
    int n = s->vocab_size;
    float top = logits[0];
    double total = 0;
    for (int i = 0; i < n; i++) {
        c[i] = (struct candidate){logits[i], i};
        top = fmaxf(top, logits[i]);
    }
    for (int i = 0; i < n; i++)
        total += exp((double)logits[i] - top);
    double norm = top + log(total);
    list[0] = (struct mr_logprob){id, (float)(logits[id] - norm)};
    if (!count)
        return;
    select_best(c, n, count);
    qsort(c, (size_t)count, sizeof *c, by_rank);
    for (int i = 0; i < count; i++)
        list[1 + i] = (struct mr_logprob){c[i].id, (float)(c[i].logit - norm)};
}
