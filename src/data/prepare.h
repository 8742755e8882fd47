/* SPDX-License-Identifier: GPL-3.0-or-later
 * From texts to prepared data: reads every input twice, first to measure it (and to collect characters or words,
 * for tokenizers that are made from the text), then to encode it. Memory does not grow with the inputs. */
#ifndef MR_DATA_PREPARE_H
#define MR_DATA_PREPARE_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/source.h"

struct mr_prepare {
    const char *const *inputs; /* as mr_source_open takes them, or token files of llm.c and Megatron */
    int input_count;
    const struct mr_source_options *reading; /* may be NULL */
    uint64_t stories, seed;                  /* so many stories are one more input; 0: none */
    const char *tokenizer;                   /* a spec, "char", or NULL with train_bpe */
    int64_t train_bpe;                       /* the vocabulary of a tokenizer to be trained on the inputs; 0: none */
    bool answers;                            /* of records, only the last field's tokens and the end are targets */
    bool special;                            /* "<|endoftext|>" within a line becomes the token */
    double val_fraction;                     /* the last so much of each input's characters goes to val */
    const char *out;                         /* the folder to write */
    /* May be NULL: stage is "reading" or "encoding"; bytes of text done of all (0: not known yet). */
    void (*progress)(void *context, const char *stage, uint64_t done, uint64_t total);
    void *context;
    const volatile sig_atomic_t *stop; /* may be NULL; not 0: MR_EINTERRUPTED, and nothing is written */
};

struct mr_prepared {
    char tokenizer[16], tokenizer_file[PATH_MAX]; /* the file: of a trained one, else "" */
    size_t vocab_size;
    uint64_t documents, tokens[2], bytes[2]; /* train, val */
    struct mr_source_counts met;
};

/* Each document ends with the tokenizer's end token where it has one (the line "<|endoftext|>" is then no text).
 * MR_EFILE: an input cannot be read, is wrong, or there is too little text; the folder keeps what it had. */
int mr_prepare(const struct mr_prepare *p, struct mr_prepared *result);

#endif
