/* SPDX-License-Identifier: GPL-3.0-or-later
 * Command lines by table: `--name value`, `--name=value`, flags, words, and the text of --help.
 *
 *     struct mr_words inputs = {0};
 *     const char *out = NULL;
 *     double fraction = 0.1;
 *     const struct mr_option options[] = {
 *         {"out", MR_OPTION_TEXT, &out, "DIR", "the folder to write"},
 *         {"val-fraction", MR_OPTION_FLOAT, &fraction, "X", "share of each input kept for validation (0.1)"},
 *     };
 *     const struct mr_syntax syntax = {
 *         .name = "prepare", .words = "INPUT...", .about = "turns text into tokens", .example = "...",
 *         .options = options, .option_count = MR_COUNT(options), .min_words = 1, .max_words = INT_MAX};
 *     int err = mr_options_parse(&syntax, argc, argv, &inputs);
 *     if (err)               // argv[0] is the command's name
 *         return err;        // main makes the exit status of it
 */
#ifndef MR_CLI_OPTIONS_H
#define MR_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct mr_words {
    const char **word; /* pointers into argv, but for "key=value" made of `--key=value`; NULL behind the last */
    int count;
};
void mr_words_free(struct mr_words *words);

enum mr_option_kind {
    MR_OPTION_FLAG,  /* bool: true when given */
    MR_OPTION_TEXT,  /* const char *: points into argv */
    MR_OPTION_LIST,  /* struct mr_words: one more word each time it is given */
    MR_OPTION_INT,   /* int64_t */
    MR_OPTION_SEED,  /* uint64_t */
    MR_OPTION_FLOAT, /* double, finite */
};

struct mr_option {
    const char *name; /* "max-tokens"; '-' and '_' are alike on the command line */
    enum mr_option_kind kind;
    void *value;          /* keeps what it holds when the option is absent: the default */
    const char *argument; /* the word for the value in --help; NULL for flags */
    const char *help;     /* NULL: an alias that --help does not list */
};

struct mr_syntax {
    const char *name, *words, *about, *example;
    const struct mr_option *options;
    size_t option_count;
    int min_words, max_words;
    void (*print_more)(void); /* further lines of --help, before the example; or NULL */
    bool key_values;          /* unknown options of the form --key=value become words "key=value" */
};

enum { MR_HELP_SHOWN = 1 };

/* 0, or MR_HELP_SHOWN after --help (printed on stdout), or MR_EINVAL. Words and lists that options filled are
 * freed by the caller with mr_words_free (also after a failure). */
int mr_options_parse(const struct mr_syntax *syntax, int argc, char **argv, struct mr_words *words);

/* The exit status for a result: 0 for results >= 0; else prints the error text on stderr and gives 1 (a file,
 * data or device failed), 2 (the command line or configuration is wrong), 77 (no such device, provider or
 * optional tool) or 130 (stopped on request). */
int mr_exit_status(int result);

#endif
