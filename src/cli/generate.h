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
    const char *model, *model_name, *prompt, *prompts, *state_in, *state_out, *tokenizer, *precision;
    struct mr_words stops;
    bool special, echo;
    int64_t max_tokens, samples, batch, logprobs; /* logprobs negative: none */
    struct mr_sampling sampling;
    struct mr_logit_bias *biases; /* what sampling points to */
    int32_t *stop_tokens;
};

/* ---- sampling --------------------------------------------------------------------------------------------------- */

/* The options of sampling as the command line has them. */
struct mr_sampling_words {
    double temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, penalty_decay;
    int64_t top_k;
    struct mr_words biases, stop_tokens;
};

/* The defaults, as --help shows them. */
void mr_sampling_words_init(struct mr_sampling_words *words);
void mr_sampling_words_free(struct mr_sampling_words *words);
/* Fills r->sampling, biases and stop_tokens. MR_EINVAL names the option. */
int mr_sampling_words_take(struct mr_generate *r, const struct mr_sampling_words *words);

#define MR_SAMPLING_OPTIONS(w)                                                                                        \
    {"temperature", MR_OPTION_FLOAT, &(w)->temperature, "X",                                                          \
     "divide logits by T; 0 always takes the likeliest token (0.8)"},                                                 \
        {"top-k", MR_OPTION_INT, &(w)->top_k, "K", "sample from the K likeliest tokens; 0: all (200)"},               \
        {"top-p", MR_OPTION_FLOAT, &(w)->top_p, "P", "sample from the likeliest tokens that add up to P (1)"},        \
        {"min-p", MR_OPTION_FLOAT, &(w)->min_p, "P", "drop tokens less than P times as likely as the likeliest (0)"}, \
        {"repetition-penalty", MR_OPTION_FLOAT, &(w)->repetition_penalty, "X",                                        \
         "above 1, makes tokens of the prompt and the text less likely (1)"},                                         \
        {"presence-penalty", MR_OPTION_FLOAT, &(w)->presence_penalty, "X",                                            \
         "subtract X from the logits of tokens already generated (0)"},                                               \
        {"frequency-penalty", MR_OPTION_FLOAT, &(w)->frequency_penalty, "X",                                          \
         "subtract X for each time a token was generated (0)"},                                                       \
        {"penalty-decay", MR_OPTION_FLOAT, &(w)->penalty_decay, "X",                                                  \
         "multiply these counts by X with every token, 0 to 1 (1)"},                                                  \
        {"logit-bias", MR_OPTION_LIST, &(w)->biases, "ID=X",                                                          \
         "add X to the logit of token ID; -inf bans it; may be repeated"},                                            \
    {                                                                                                                 \
        "stop-token", MR_OPTION_LIST, &(w)->stop_tokens, "ID", "stop before this token; may be repeated"              \
    }

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

/* What --json adds about the prompt with --echo: its tokens, and with --logprobs how likely they were. */
struct mr_echo {
    json_t *tokens, *logprobs; /* or NULL */
};

struct mr_answer {
    struct mr_str text;        /* the prompt and what was generated */
    size_t prompt;             /* bytes of it that are the prompt */
    size_t printed;            /* bytes of it already on stdout */
    json_t *ids, *logprobs;    /* with --json */
    struct mr_logprob *likely; /* with --logprobs: the draw's, for mr_sampling.logprobs */
    struct mr_echo echo;
    int64_t count; /* tokens generated */
    double began, first_token_ms, total_s;
    bool begun, ended; /* its prompt was read; nothing more will come */
};

int mr_answer_begin(struct mr_answer *a, const struct mr_generate *r, const struct mr_str *prompt);
/* Takes a token that was drawn; more is 0 where it is the end token. 1: the text has ended. */
int mr_answer_take(struct mr_answer *a, const struct mr_generate *r, mr_lm *lm, int32_t id, int more);
/* Prints what is certain: all but what may be the beginning of a stop text or of a character. Nothing with --json. */
void mr_answer_stream(struct mr_answer *a, const struct mr_generate *r);
/* Prints the rest and a newline, or the line of JSON. MR_EFILE: stdout does not take it. */
int mr_answer_finish(struct mr_answer *a, const struct mr_generate *r);
void mr_answer_free(struct mr_answer *a);

/* Whether an echo needs a sequence of its own, to read the prompt token by token. */
bool mr_echo_scores(const struct mr_generate *r);
/* Reads the prompt with `scorer`, which stands where it begins (NULL unless mr_echo_scores). Nothing without --echo. */
int mr_echo_read(struct mr_echo *echo, const struct mr_generate *r, mr_lm *lm, const struct mr_str *prompt,
                 mr_sequence *scorer);
void mr_echo_free(struct mr_echo *echo);
/* list[0] and the r->logprobs likeliest behind it, as --json shows them. NULL: out of memory. */
json_t *mr_logprobs_json(const struct mr_generate *r, mr_lm *lm, const struct mr_logprob *list);

/* ---- several ---------------------------------------------------------------------------------------------------- */

/* Sequences that it needs open at a time. */
int mr_generate_many_sequences(const struct mr_generate *r, const struct mr_prompts *prompts);
/* Continues every prompt of --prompts, or the one prompt --num-samples times, and prints the texts in order. Each is
 * what it would be alone. */
int mr_generate_many(const struct mr_generate *r, mr_lm *lm, const struct mr_prompts *prompts);

#endif
