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

/* Draws a token from logits [vocab_size]. `draw` numbers the draws of a text: the same seed, draw and
 * logits give the same token. */
int32_t mr_sampler_draw(mr_sampler *sampler, const struct mr_sampling *how, const float *logits, uint64_t draw);

/* MR_EINVAL where a value makes no sense. */
int mr_sampling_check(const struct mr_sampling *how);

#endif
