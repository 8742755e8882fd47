/* SPDX-License-Identifier: GPL-3.0-or-later
 * Gradients of one batch, for checking a model against others: what `grad` adds to the public interface. */
#ifndef MR_API_BATCH_H
#define MR_API_BATCH_H

#include "microrwkv/microrwkv.h"

struct mr_batch {
    int rows, time;            /* B, T */
    int32_t *tokens, *targets; /* [B,T]; a target of -1: none */
};

/* From a .safetensors file with `tokens` and `targets`. MR_EFILE: it has them not, or in other shapes. */
int mr_batch_read(const char *path, struct mr_batch *batch);
void mr_batch_free(struct mr_batch *batch); /* {0} is fine */

/* Writes a .safetensors file: loss [1], logits [B,T,vocab_size], and for each parameter grad.NAME in its shape; f32, no
 * dropout. config as in mr_lm_options. MR_EINVAL: the model's family does not train. */
int mr_gradients_run(mr_runtime *rt, const char *model, const struct mr_batch *batch, const char *out,
                     const char *const *config);

#endif
