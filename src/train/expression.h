/* SPDX-License-Identifier: GPL-3.0-or-later
 * The values of configuration files: Python's numbers, strings, True, False, None, names, and + - * / // % ** of
 * them with parentheses. */
#ifndef MR_TRAIN_EXPRESSION_H
#define MR_TRAIN_EXPRESSION_H

#include <stddef.h>

#include "base/settings.h"

struct mr_expression {
    const char *text; /* NUL-terminated */
    size_t at;        /* where reading stands */
    int line;         /* counted from 1 */
    int parentheses;  /* that are open: newlines do not count within them */
    int depth;
    /* A borrowed value, or NULL when there is no such name; may itself be NULL: no names. */
    const struct mr_value *(*lookup)(void *context, const char *name);
    void *context;
};

/* Reads one expression; the caller frees the value, which is an MR_VALUE_OTHER never. MR_EINVAL says
 * what cannot be evaluated, without the line. */
int mr_expression_read(struct mr_expression *e, struct mr_value *value);

/* Passes spaces, comments and continued lines; with `newlines` also the ends of lines. */
void mr_expression_space(struct mr_expression *e, int newlines);
/* Passes a string, if one begins here: 1; 0 if none does; MR_EINVAL when it does not end. */
int mr_expression_skip_string(struct mr_expression *e);

#endif
