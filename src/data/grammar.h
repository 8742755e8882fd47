/* SPDX-License-Identifier: GPL-3.0-or-later
 * A story grammar read into tables, rules and stories; data/stories.grammar says what it looks like. */
#ifndef MR_DATA_GRAMMAR_H
#define MR_DATA_GRAMMAR_H

#include <stddef.h>

struct mr_slice {
    const char *text;
    size_t size;
};

enum { MR_GRAMMAR_FIELDS = 8, MR_GRAMMAR_LETS = 8, MR_GRAMMAR_PARTS = 2 };

struct mr_grammar_table {
    struct mr_slice name, fields[MR_GRAMMAR_FIELDS];
    int field_count, row_count;
    struct mr_slice (*rows)[MR_GRAMMAR_FIELDS];
};

struct mr_grammar_rule {
    struct mr_slice name, *choices;
    int choice_count;
};

/* let NAME = TABLE [+ TABLE] [where FIELD=VALUE | where FIELD like VARIABLE] */
struct mr_grammar_let {
    struct mr_slice name;
    int tables[MR_GRAMMAR_PARTS], table_count;
    int where_part, where_field; /* which column; -1: any row will do */
    struct mr_slice value;
    int like; /* a let before this one, or -1: the value */
};

struct mr_grammar_story {
    struct mr_slice name, text;
    struct mr_grammar_let lets[MR_GRAMMAR_LETS];
    int let_count;
};

struct mr_grammar {
    struct mr_grammar_table *tables;
    struct mr_grammar_rule *rules;
    struct mr_grammar_story *stories;
    int table_count, rule_count, story_count;
};

/* The slices point into the text, which must live on. What is wrong is MR_EFILE with its line. */
int mr_grammar_read(struct mr_grammar *g, const char *text);
void mr_grammar_free(struct mr_grammar *g);

/* The column of that name, or -1. */
int mr_grammar_field(const struct mr_grammar_table *table, struct mr_slice name);
/* Whether the slice is this text. */
int mr_slice_is(struct mr_slice s, const char *text);
int mr_slice_equal(struct mr_slice a, struct mr_slice b);
/* Without the white space around it. */
struct mr_slice mr_slice_trim(struct mr_slice s);
/* Takes the part before the separator (all, if there is none) off the front; trimmed. */
struct mr_slice mr_slice_take(struct mr_slice *s, char separator);

#endif
