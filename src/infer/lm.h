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
    struct {
        mr_sequence **owner; /* [options.sequences] whose each row of ws's logits is; NULL: nobody's */
        float **logits;      /* [options.sequences] where each row goes to on the host */
        int rows;
        mr_tensor values, ids; /* the k largest of each row */
        float *value;          /* [rows,k] the same on the host */
        int32_t *id;
        size_t capacity; /* of these four */
        int k;           /* 0: they hold nothing of these rows */
    } waiting;           /* logits of the last step that stay on the device until they are needed */
};

struct mr_sequence {
    mr_lm *lm;
    int slot;     /* negative: the family has no states */
    bool rereads; /* the last block is read again for every token */
    bool lost;    /* a call failed in its middle: what stands here is of no use until it is replaced as a whole */
    mr_sampler *sampler;
    float *logits;   /* [V] after the last token read, unless they wait */
    int row;         /* of the logits that wait on the device; negative: none */
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
/* The ids of a text; the caller frees them (mr_ids_free). begins: it is not the continuation of another, and gets the
 * tokens that its tokenizer puts before a text. */
int mr_lm_encode(mr_lm *lm, const char *text, size_t size, bool special, bool begins, struct mr_ids *ids);
/* Tells how far the work under way is; MR_EINTERRUPTED ("stopped while WHAT") where the caller wants no more. */
int mr_lm_progress(mr_lm *lm, double part, const char *what);
/* Whether texts are limited to block_size positions, after which the last block is read again for every token. */
bool mr_lm_is_limited(const mr_lm *lm);
/* The workspace of a whole block. */
int mr_lm_block(mr_lm *lm);

/* ---- logits that wait ------------------------------------------------------------------------------------------- */

int mr_waiting_open(mr_lm *lm);
void mr_waiting_close(mr_lm *lm);
/* The i-th row of the step that runs now is the sequence's: it stays on the device. */
void mr_waiting_keep(mr_sequence *s, int row);
/* The sequence needs its row no more. */
void mr_waiting_drop(mr_sequence *s);
/* Reads all rows that wait. After an error their sequences are lost; MR_ENUMERIC: not all numbers are finite. */
int mr_waiting_fetch(mr_lm *lm);
/* The k largest of all rows, for mr_waiting_draw; the same errors. */
int mr_waiting_top(mr_lm *lm, int k);
/* How many of the largest logits such a draw needs; 0: the whole row, or that is quicker. */
int mr_waiting_needs(const mr_lm *lm, const struct mr_sampling *how);
/* Draws from them. */
int32_t mr_waiting_draw(mr_sequence *s, const struct mr_sampling *how);

/* MR_ENUMERIC with the first layer that is to blame, unless all numbers of the sequence are finite. */
int mr_sequence_check_numbers(const mr_sequence *s, const float *numbers, int count);
/* MR_EINVAL for a sequence that lost its text. */
int mr_sequence_check(const mr_sequence *s);

#endif
