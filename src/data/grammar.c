/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

int mr_slice_is(struct mr_slice s, const char *text)
{
    return strlen(text) == s.size && !memcmp(text, s.text, s.size);
}

int mr_slice_equal(struct mr_slice a, struct mr_slice b)
{
    return a.size == b.size && !memcmp(a.text, b.text, a.size);
}

static int is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

struct mr_slice mr_slice_trim(struct mr_slice s)
{
    while (s.size && is_space(s.text[0]))
        s = (struct mr_slice){s.text + 1, s.size - 1};
    while (s.size && is_space(s.text[s.size - 1]))
        s.size--;
    return s;
}

struct mr_slice mr_slice_take(struct mr_slice *s, char separator)
{
    const char *end = s->size ? memchr(s->text, separator, s->size) : NULL;
    struct mr_slice part = {s->text, end ? (size_t)(end - s->text) : s->size};
    size_t skip = part.size + (end != NULL);
    *s = (struct mr_slice){s->text + skip, s->size - skip};
    return mr_slice_trim(part);
}

int mr_grammar_field(const struct mr_grammar_table *table, struct mr_slice name)
{
    for (int i = 0; i < table->field_count; i++)
        if (mr_slice_equal(table->fields[i], name))
            return i;
    return -1;
}

/* One more zeroed element at the end of an array. */
static void *add(void *array, int *count, size_t size)
{
    char *grown = mr_realloc(array, (size_t)*count + 1, size);
    if (grown)
        memset(grown + (size_t)(*count)++ * size, 0, size);
    return grown;
}
#define ADD(array, count) ((grown = add(array, &(count), sizeof *(array))) ? ((array) = grown, 0) : MR_ENOMEM)

/* Where the reader stands. */
struct reader {
    struct mr_slice rest;
    int line;
};

static struct mr_slice next_line(struct reader *r)
{
    r->line++;
    return mr_slice_take(&r->rest, '\n');
}

static int wrong(const struct reader *r, const char *what, struct mr_slice about)
{
    return mr_fail(MR_EFILE, "story grammar, line %d: %s \"%.*s\"", r->line, what, (int)about.size, about.text);
}

static int read_table(struct mr_grammar *g, struct reader *r, struct mr_slice head)
{
    void *grown;
    MR_TRY(ADD(g->tables, g->table_count));
    struct mr_grammar_table *t = &g->tables[g->table_count - 1];
    t->name = mr_slice_take(&head, ':');
    for (head = mr_slice_trim(head); head.size; head = mr_slice_trim(head)) {
        if (t->field_count == MR_GRAMMAR_FIELDS)
            return wrong(r, "too many fields in", t->name);
        t->fields[t->field_count++] = mr_slice_take(&head, ' ');
    }
    if (!t->name.size || !t->field_count)
        return wrong(r, "a table needs a name and fields:", t->name);
    for (struct mr_slice line = next_line(r); line.size; line = next_line(r)) {
        MR_TRY(ADD(t->rows, t->row_count));
        struct mr_slice *row = t->rows[t->row_count - 1];
        for (int i = 0; i < t->field_count; i++) {
            if (!line.size)
                return wrong(r, "a field is missing in a row of", t->name);
            row[i] = mr_slice_take(&line, '|');
        }
        if (line.size)
            return wrong(r, "a row has too many fields:", line);
    }
    return 0;
}

static int read_rule(struct mr_grammar *g, struct reader *r, struct mr_slice head)
{
    void *grown;
    MR_TRY(ADD(g->rules, g->rule_count));
    struct mr_grammar_rule *rule = &g->rules[g->rule_count - 1];
    rule->name = head;
    for (struct mr_slice line = next_line(r); line.size; line = next_line(r)) {
        MR_TRY(ADD(rule->choices, rule->choice_count));
        rule->choices[rule->choice_count - 1] = line;
    }
    return rule->choice_count ? 0 : wrong(r, "a rule without a choice:", head);
}

static int read_where(struct mr_grammar *g, struct reader *r, struct mr_grammar_story *s, struct mr_grammar_let *let,
                      struct mr_slice where)
{
    struct mr_slice equals = where;
    struct mr_slice field = mr_slice_take(&equals, '=');
    if (equals.size) {
        let->value = mr_slice_trim(equals);
    } else {
        field = mr_slice_take(&where, ' ');
        where = mr_slice_trim(where);
        struct mr_slice like = mr_slice_take(&where, ' ');
        for (int i = 0; i < s->let_count - 1 && mr_slice_is(like, "like"); i++)
            if (mr_slice_equal(s->lets[i].name, mr_slice_trim(where)))
                let->like = i;
        if (let->like < 0)
            return wrong(r, "where needs FIELD=VALUE or FIELD like VARIABLE after", field);
    }
    for (let->where_part = 0; let->where_part < let->table_count; let->where_part++) {
        let->where_field = mr_grammar_field(&g->tables[let->tables[let->where_part]], field);
        if (let->where_field >= 0)
            return 0;
    }
    return wrong(r, "no such field:", field);
}

/* The line after "let". */
static int read_let(struct mr_grammar *g, struct reader *r, struct mr_grammar_story *s, struct mr_slice line)
{
    if (s->let_count == MR_GRAMMAR_LETS)
        return wrong(r, "too many variables in", s->name);
    struct mr_grammar_let *let = &s->lets[s->let_count++];
    let->name = mr_slice_take(&line, '=');
    let->where_field = let->like = -1;
    const char *where = line.size ? memmem(line.text, line.size, " where ", 7) : NULL;
    struct mr_slice tables = {line.text, where ? (size_t)(where - line.text) : line.size};
    while (tables.size) {
        struct mr_slice name = mr_slice_take(&tables, '+');
        int i = 0;
        while (i < g->table_count && !mr_slice_equal(g->tables[i].name, name))
            i++;
        if (i == g->table_count)
            return wrong(r, "no such table:", name);
        if (let->table_count == MR_GRAMMAR_PARTS)
            return wrong(r, "too many tables for", let->name);
        let->tables[let->table_count++] = i;
    }
    if (!let->name.size || !let->table_count)
        return wrong(r, "a variable needs a name and a table:", let->name);
    if (!where)
        return 0;
    struct mr_slice condition = {where + 7, (size_t)(line.text + line.size - (where + 7))};
    return read_where(g, r, s, let, condition);
}

static int read_story(struct mr_grammar *g, struct reader *r, struct mr_slice head)
{
    void *grown;
    MR_TRY(ADD(g->stories, g->story_count));
    struct mr_grammar_story *s = &g->stories[g->story_count - 1];
    s->name = head;
    struct mr_slice line = next_line(r);
    for (; line.size > 4 && !memcmp(line.text, "let ", 4); line = next_line(r)) {
        struct mr_slice rest = {line.text + 4, line.size - 4};
        MR_TRY(read_let(g, r, s, rest));
    }
    s->text.text = line.text;
    for (; line.size; line = next_line(r))
        s->text.size = (size_t)(line.text + line.size - s->text.text);
    return s->text.size ? 0 : wrong(r, "a story without a text:", head);
}

int mr_grammar_read(struct mr_grammar *g, const char *text)
{
    struct reader r = {{text, strlen(text)}, 0};
    int err = 0;
    *g = (struct mr_grammar){0};
    while (r.rest.size && !err) {
        struct mr_slice line = next_line(&r);
        if (!line.size || line.text[0] == '#')
            continue;
        struct mr_slice word = mr_slice_take(&line, ' ');
        line = mr_slice_trim(line);
        if (mr_slice_is(word, "table"))
            err = read_table(g, &r, line);
        else if (mr_slice_is(word, "rule"))
            err = read_rule(g, &r, line);
        else if (mr_slice_is(word, "story"))
            err = read_story(g, &r, line);
        else
            err = wrong(&r, "neither table, rule nor story:", word);
    }
    if (!err && !g->story_count)
        err = mr_fail(MR_EFILE, "a story grammar without a story");
    if (err)
        mr_grammar_free(g);
    return err;
}

void mr_grammar_free(struct mr_grammar *g)
{
    for (int i = 0; i < g->table_count; i++)
        free(g->tables[i].rows);
    for (int i = 0; i < g->rule_count; i++)
        free(g->rules[i].choices);
    free(g->tables);
    free(g->rules);
    free(g->stories);
    *g = (struct mr_grammar){0};
}
