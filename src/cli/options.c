/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/nearest.h"

void mr_words_free(struct mr_words *words)
{
    free(words->word);
    *words = (struct mr_words){0};
}

static int add_word(struct mr_words *words, const char *word)
{
    const char **grown = mr_realloc(words->word, (size_t)words->count + 2, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    words->word = grown;
    words->word[words->count++] = word;
    words->word[words->count] = NULL;
    return 0;
}

static bool same_name(const char *name, const char *given, size_t size)
{
    if (strlen(name) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((name[i] == '_' ? '-' : name[i]) != (given[i] == '_' ? '-' : given[i]))
            return false;
    return true;
}

static int unknown_option(const struct mr_syntax *s, const char *name, size_t size)
{
    const char **known = mr_alloc(s->option_count + 1, sizeof *known);
    char given[64];
    size_t count = 0;
    if (!known)
        return MR_ENOMEM;
    snprintf(given, sizeof given, "%.*s", (int)size, name);
    for (size_t i = 0; i < s->option_count; i++)
        if (s->options[i].help)
            known[count++] = s->options[i].name;
    known[count++] = "help";
    mr_fail(MR_EINVAL, "%s: unknown option --%s: did you mean --%s? See `microrwkv %s --help`", s->name, given,
            mr_nearest(given, known, count), s->name);
    free(known);
    return MR_EINVAL;
}

static int wrong_value(const struct mr_syntax *s, const struct mr_option *o, const char *text, const char *wanted)
{
    return mr_fail(MR_EINVAL, "%s: --%s must be %s, not \"%s\"", s->name, o->name, wanted, text);
}

static int set_value(const struct mr_syntax *s, const struct mr_option *o, const char *text)
{
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case MR_OPTION_FLAG:
        return mr_fail(MR_EINVAL, "%s: --%s takes no value", s->name, o->name);
    case MR_OPTION_TEXT:
        *(const char **)o->value = text;
        return 0;
    case MR_OPTION_LIST:
        return add_word(o->value, text);
    case MR_OPTION_INT: {
        long long n = strtoll(text, &end, 10);
        if (!*text || *end || errno)
            return wrong_value(s, o, text, "a whole number");
        *(int64_t *)o->value = n;
        return 0;
    }
    case MR_OPTION_SEED: {
        unsigned long long n = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end || errno)
            return wrong_value(s, o, text, "a whole number of at least 0");
        *(uint64_t *)o->value = n;
        return 0;
    }
    case MR_OPTION_FLOAT: {
        double x = strtod(text, &end);
        if (!*text || *end || !isfinite(x))
            return wrong_value(s, o, text, "a number");
        *(double *)o->value = x;
        return 0;
    }
    }
    return mr_fail(MR_EINVAL, "%s: --%s has an unknown kind", s->name, o->name);
}

static void print_help(const struct mr_syntax *s)
{
    printf("usage: microrwkv %s%s%s%s\n", s->name, s->words && *s->words ? " " : "", s->words ? s->words : "",
           s->option_count ? " [options]" : "");
    if (s->about)
        printf("\n%s\n", s->about);
    printf("\noptions:\n");
    for (size_t i = 0; i < s->option_count; i++) {
        const struct mr_option *o = &s->options[i];
        char left[64];
        if (!o->help)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-26s %s\n", left, o->help);
    }
    printf("  %-26s %s\n", "--help", "this text");
    if (s->print_more)
        s->print_more();
    if (s->example)
        printf("\nexample:\n  %s\n", s->example);
}

/* Says that a value replaces one that was given before; *given has a bit for each option. */
static void warn_of_second(const struct mr_syntax *s, size_t option, uint64_t *given)
{
    const struct mr_option *o = &s->options[option];
    uint64_t bit = option < 64 ? (uint64_t)1 << option : 0;
    if (*given & bit && o->kind != MR_OPTION_LIST && o->kind != MR_OPTION_FLAG)
        mr_log(MR_LOG_WARNING, "%s: --%s is given more than once: only the last one counts", s->name, o->name);
    *given |= bit;
}

/* One word that starts with "--"; *i advances when the next word is its value. */
static int parse_option(const struct mr_syntax *s, int argc, char **argv, int *i, struct mr_words *words,
                        uint64_t *given)
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    for (size_t k = 0; k < s->option_count; k++) {
        const struct mr_option *o = &s->options[k];
        if (!same_name(o->name, name, size))
            continue;
        warn_of_second(s, k, given);
        if (equals)
            return set_value(s, o, equals + 1);
        if (o->kind == MR_OPTION_FLAG) {
            *(bool *)o->value = true;
            return 0;
        }
        if (*i + 1 >= argc)
            return mr_fail(MR_EINVAL, "%s: --%s needs a value (%s)", s->name, o->name, o->argument);
        return set_value(s, o, argv[++*i]);
    }
    if (s->key_values && equals && size)
        return add_word(words, name);
    return unknown_option(s, name, size);
}

int mr_options_parse(const struct mr_syntax *s, int argc, char **argv, struct mr_words *words)
{
    bool options_end = false;
    uint64_t given = 0;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (options_end || arg[0] != '-' || !arg[1]) {
            MR_TRY(add_word(words, arg));
        } else if (!strcmp(arg, "--")) {
            options_end = true;
        } else if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            print_help(s);
            return MR_HELP_SHOWN;
        } else if (arg[1] == '-') {
            MR_TRY(parse_option(s, argc, argv, &i, words, &given));
        } else {
            return mr_fail(MR_EINVAL, "%s: options start with two dashes: -%s? See `microrwkv %s --help`", s->name, arg,
                           s->name);
        }
    }
    if (words->count < s->min_words)
        return mr_fail(MR_EINVAL, "%s: missing argument: microrwkv %s %s (see --help)", s->name, s->name,
                       s->words ? s->words : "");
    if (words->count > s->max_words)
        return mr_fail(MR_EINVAL, "%s: unexpected argument \"%s\" (see --help)", s->name, words->word[s->max_words]);
    return 0;
}

int mr_exit_status(int result)
{
    if (result >= 0)
        return 0;
    fflush(stdout);
    if (*mr_error_text()) /* another rank has said it */
        fprintf(stderr, "microrwkv: %s\n", mr_error_text());
    switch (result) {
    case MR_EINVAL:
        return 2;
    case MR_ENODEV:
        return 77;
    case MR_EINTERRUPTED:
        return 130;
    default:
        return 1;
    }
}
