/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the files of generate share: the request, prompts, a text that is being continued. */
#ifndef MR_CLI_GENERATE_H
#define MR_CLI_GENERATE_H

#include <jansson.h>

#include "base/str.h"
#include "cli/cli.h"
#include "microrwkv/microrwkv.h"

struct mr_generate {
    struct mr_common common;
    const volatile sig_atomic_t *stopped;
    const char *model, *model_name, *prompt, *prompts, *stop, *state_in, *state_out, *tokenizer, *precision;
    bool special;
    int64_t max_tokens, samples, batch;
    struct mr_sampling sampling;
};

/* ---- prompts ---------------------------------------------------------------------------------------------------- */

struct mr_prompts {
    struct mr_str *list;
    size_t count, capacity;
};

/* One a line, or where the path ends in .jsonl an object a line, with the text in its "prompt" or else "text"; "-" is
 * standard input. None may be empty. */
int mr_prompts_read(struct mr_prompts *prompts, const struct mr_generate *r);
/* The one of --prompt. */
int mr_prompt_read(struct mr_prompts *prompts, const struct mr_generate *r);
void mr_prompts_free(struct mr_prompts *prompts); /* {0} is fine */

/* ---- a text ----------------------------------------------------------------------------------------------------- */

struct mr_answer {
    struct mr_str text; /* the prompt and what was generated */
    size_t prompt;      /* bytes of it that are the prompt */
    size_t printed;     /* bytes of it already on stdout */
    json_t *ids;        /* with --json */
    int64_t count;      /* tokens generated */
    double began, first_token_ms, total_s;
    bool begun, ended; /* its prompt was read; nothing more will come */
};

int mr_answer_begin(struct mr_answer *a, const struct mr_generate *r, const struct mr_str *prompt);
/* Takes a token that was drawn; more is 0 where it is the end token. 1: the text has ended. */
int mr_answer_take(struct mr_answer *a, const struct mr_generate *r, mr_lm *lm, int32_t id, int more);
/* Prints what is certain: all but what may be the beginning of the stop text. Nothing with --json. */
void mr_answer_stream(struct mr_answer *a, const struct mr_generate *r);
/* Prints the rest and a newline, or the line of JSON. MR_EFILE: stdout does not take it. */
int mr_answer_finish(struct mr_answer *a, const struct mr_generate *r);
void mr_answer_free(struct mr_answer *a);

/* ---- several ---------------------------------------------------------------------------------------------------- */

/* Sequences that it needs open at a time. */
int mr_generate_many_sequences(const struct mr_generate *r, const struct mr_prompts *prompts);
/* Continues every prompt of --prompts, or the one prompt --num-samples times, and prints the texts in order. Each is
 * what it would be alone. */
int mr_generate_many(const struct mr_generate *r, mr_lm *lm, const struct mr_prompts *prompts);

#endif
