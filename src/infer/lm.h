/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the parts of src/infer share, and what the command line needs of a model beyond the public interface. */
#ifndef MR_INFER_LM_H
#define MR_INFER_LM_H

#include <stdbool.h>

#include "infer/sampler.h"
#include "microrwkv/microrwkv.h"
#include "model/memory.h"
#include "text/tokenizer.h"

struct mr_lm {
    mr_runtime *rt;
    mr_model *model;
    mr_tokenizer *tokenizer; /* NULL: ids only */
    struct mr_lm_options options;
    size_t planned;      /* bytes of all below but `block`; only known where there is a limit */
    mr_workspace *ws;    /* a chunk of a prompt, or a step of every sequence */
    mr_states *states;   /* a slot for each sequence; NULL: the family has none */
    bool warned;         /* an id beyond the tokenizer was named */
    bool *taken;         /* [options.sequences] slots */
    mr_workspace *block; /* a whole block, for texts past the learned positions; made when first needed */
    /* [options.sequences] each, for one call */
    struct mr_piece *pieces;
    struct mr_feed *feeds;
    mr_sequence **ended; /* whose last token is read */
    float **rows;        /* their logits */
};

struct mr_sequence {
    mr_lm *lm;
    int slot;     /* negative: the family has no states */
    bool rereads; /* the last block is read again for every token */
    bool lost;    /* a call failed in its middle: what stands here is of no use until it is replaced as a whole */
    mr_sampler *sampler;
    float *logits;   /* [V] after the last token read */
    int32_t *tokens; /* all read so far, when they may be read again */
    size_t count, capacity;
    uint64_t drawn;
};

/* A model that is on the device already, which is shared; without a tokenizer. */
int mr_lm_open_model(mr_lm **lm, mr_model *model, int sequences);
/* The memory that so many sequences of a model take: need->slots and need->workspace. */
void mr_lm_need(struct mr_memory_need *need, const struct mr_config *cfg, int sequences);
/* For measuring: the sequence becomes one that has read `position` tokens, all 0, and its states hold small numbers. */
int mr_sequence_pretend(mr_sequence *s, int64_t position);
/* The ids of a text; the caller frees them (mr_ids_free). */
int mr_lm_encode(mr_lm *lm, const char *text, size_t size, bool special, struct mr_ids *ids);
/* Tells how far the work under way is; MR_EINTERRUPTED ("stopped while WHAT") where the caller wants no more. */
int mr_lm_progress(mr_lm *lm, double part, const char *what);
/* Whether texts are limited to block_size positions, after which the last block is read again for every token. */
bool mr_lm_is_limited(const mr_lm *lm);
/* The workspace of a whole block. */
int mr_lm_block(mr_lm *lm);
/* MR_EINVAL for a sequence that lost its text. */
int mr_sequence_check(const mr_sequence *s);

#endif
