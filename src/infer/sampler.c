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
    struct candidate *candidates;
    double *weights;
};

void mr_sampling_defaults(struct mr_sampling *sampling, size_t size)
{
    const struct mr_sampling defaults = {
        .temperature = 0.8f, .top_k = 200, .top_p = 1, .repetition_penalty = 1, .seed = 1337};
    mr_give_defaults(sampling, size, &defaults, sizeof defaults);
}

int mr_sampling_check(const struct mr_sampling *how)
{
    if (how->temperature != 0 && !(how->temperature >= 1e-3f && how->temperature <= 1e3f))
        return mr_fail(MR_EINVAL, "--temperature must be 0 or in [0.001, 1000], not %g", how->temperature);
    if (how->top_k < 0)
        return mr_fail(MR_EINVAL, "--top-k must be 0 (all) or more, not %d", how->top_k);
    if (!(how->top_p > 0 && how->top_p <= 1))
        return mr_fail(MR_EINVAL, "--top-p must be in (0, 1], not %g", how->top_p);
    if (!(how->repetition_penalty >= 1e-2f && how->repetition_penalty <= 1e2f))
        return mr_fail(MR_EINVAL, "--repetition-penalty must be in [0.01, 100], not %g", how->repetition_penalty);
    return 0;
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
    free(s->candidates);
    free(s->weights);
    free(s);
}

void mr_sampler_reset(mr_sampler *s)
{
    memset(s->seen, 0, (size_t)s->vocab_size * sizeof *s->seen);
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

/* Whether a comes before b: the larger logit, the lower id among equals. */
static bool before(struct candidate a, struct candidate b)
{
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

static int by_rank(const void *a, const void *b)
{
    return before(*(const struct candidate *)a, *(const struct candidate *)b) ? -1 : 1;
}

/* All tokens with their logits; those seen before are penalised. */
static void fill_candidates(const mr_sampler *s, float penalty, const float *logits)
{
    for (int i = 0; i < s->vocab_size; i++) {
        float x = logits[i];
        if (penalty != 1 && s->seen[i])
            x = x > 0 ? x / penalty : x * penalty;
        s->candidates[i] = (struct candidate){x, i};
    }
}

static int32_t largest(const struct candidate *c, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (before(c[i], c[best]))
            best = i;
    return c[best].id;
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

int32_t mr_sampler_draw(mr_sampler *s, const struct mr_sampling *how, const float *logits, uint64_t draw)
{
    int n = s->vocab_size;
    struct candidate *c = s->candidates;
    fill_candidates(s, how->repetition_penalty, logits);
    if (how->temperature == 0)
        return largest(c, n);
    if (how->top_k > 0 && how->top_k < n) {
        select_best(c, n, how->top_k);
        n = how->top_k;
    }
    if (how->top_p < 1 || n < s->vocab_size)
        qsort(c, (size_t)n, sizeof *c, by_rank);
    float top = c[0].logit;
    for (int i = 1; i < n; i++)
        top = fmaxf(top, c[i].logit);
    double total = 0;
    for (int i = 0; i < n; i++)
        total += s->weights[i] = exp(((double)c[i].logit - top) / how->temperature);
    if (how->top_p < 1) {
        double reached = 0, wanted = how->top_p * total;
        int kept = 0;
        while (kept < n && reached < wanted)
            reached += s->weights[kept++];
        n = kept > 0 ? kept : 1;
        total = reached;
    }
    struct mr_philox draws = {.seed = how->seed, .stream = MR_STREAM_SAMPLING, .step = draw};
    uint32_t w[4];
    mr_philox_block(&draws, 0, w);
    double at = ((double)w[0] + (w[1] >> 12) * 0x1p-20) * 0x1p-32 * total;
    for (int i = 0; i < n - 1; i++) {
        at -= s->weights[i];
        if (at < 0)
            return c[i].id;
    }
    return c[n - 1].id;
}
