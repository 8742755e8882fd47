/* SPDX-License-Identifier: GPL-3.0-or-later
 * From logits to a token. */
#ifndef MR_INFER_SAMPLER_H
#define MR_INFER_SAMPLER_H

#include "microrwkv/microrwkv.h"

typedef struct mr_sampler mr_sampler;

int mr_sampler_create(mr_sampler **sampler, int vocab_size);
void mr_sampler_free(mr_sampler *sampler);

/* Forgets the tokens seen. */
void mr_sampler_reset(mr_sampler *sampler);
/* A token was read: the repetition penalty knows it. */
void mr_sampler_see(mr_sampler *sampler, int32_t token);
/* A byte per token of the vocabulary, 1 where it was seen: to be saved and restored. */
uint8_t *mr_sampler_seen(mr_sampler *sampler);

/* A token that was drawn, and how often: less where the count has faded. */
struct mr_drawn {
    int32_t id;
    float count;
};
/* Counts a token that was drawn, after the counts of all before have faded. */
int mr_sampler_count(mr_sampler *sampler, int32_t token, float decay);
/* The tokens drawn, to be saved, and restored. */
const struct mr_drawn *mr_sampler_drawn(const mr_sampler *sampler, size_t *count);
int mr_sampler_set_drawn(mr_sampler *sampler, const void *drawn, size_t count);

/* Draws a token from logits [vocab_size]. `draw` numbers the draws of a text: the same seed, draw and
 * logits give the same token. MR_EINVAL: all are banned. */
int32_t mr_sampler_draw(mr_sampler *sampler, const struct mr_sampling *how, const float *logits, uint64_t draw);

/* The same from the k largest logits and their ids, by rank, with nothing but temperature (0: k is 1), top_k (which is
 * k), top_p and min_p. */
int32_t mr_sampler_draw_ranked(mr_sampler *sampler, const struct mr_sampling *how, const float *logits,
                               const int32_t *ids, int k, uint64_t draw);

/* list[0] for `id`, then the `count` likeliest by rank. */
void mr_sampler_logprobs(mr_sampler *sampler, const float *logits, int32_t id, struct mr_logprob *list, int count);

/* MR_EINVAL where a value makes no sense. vocab_size INT_MAX: it is not known yet. */
int mr_sampling_check(const struct mr_sampling *how, int vocab_size);

#endif
