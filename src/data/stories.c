/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/stories.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/philox.h"
#include "data/grammar.h"
#include "text/tokenizer.h"

enum { MOST_ARGUMENTS = 3, MOST_DEPTH = 16, MOST_PARTS = 10000, LONGEST_STORY = 1 << 16, NONE = -1 };

extern const char mr_stories_grammar[];

struct mr_stories {
    struct mr_grammar grammar;
    char *text;
    uint64_t seed;
};

/* A story being told. */
struct telling {
    const struct mr_grammar *grammar;
    const struct mr_grammar_story *story;
    int rows[MR_GRAMMAR_LETS][MR_GRAMMAR_PARTS]; /* the row of each variable's tables */
    struct mr_philox draw;
    uint64_t draws;
    struct mr_str *out;
    size_t start;      /* of the story in out */
    bool capital;      /* the next letter is a capital */
    bool article, gap; /* "a" is written and may become "an"; a space is due */
    int depth, parts;  /* of texts that were expanded */
};

static uint64_t draw_below(struct telling *t, int n)
{
    return mr_philox_below(&t->draw, t->draws++, (uint64_t)n);
}

/* ---- the cast ------------------------------------------------------------------------------------------ */

static bool taken(const struct telling *t, int variables, int table, int row)
{
    for (int i = 0; i < variables; i++)
        for (int k = 0; k < t->story->lets[i].table_count; k++)
            if (t->story->lets[i].tables[k] == table && t->rows[i][k] == row)
                return true;
    return false;
}

/* The variable's own text in a column of that name; false when it has none. */
static bool field_of(const struct telling *t, int variable, struct mr_slice name, struct mr_slice *value)
{
    const struct mr_grammar_let *let = &t->story->lets[variable];
    for (int k = 0; k < let->table_count; k++) {
        const struct mr_grammar_table *table = &t->grammar->tables[let->tables[k]];
        int column = mr_grammar_field(table, name);
        if (column >= 0) {
            *value = table->rows[t->rows[variable][k]][column];
            return true;
        }
    }
    return false;
}

static int draw_variable(struct telling *t, int variable)
{
    const struct mr_grammar_let *let = &t->story->lets[variable];
    for (int k = 0; k < let->table_count; k++) {
        const struct mr_grammar_table *table = &t->grammar->tables[let->tables[k]];
        struct mr_slice wanted = let->value;
        bool chosen = let->where_field >= 0 && let->where_part == k;
        if (chosen && let->like >= 0)
            field_of(t, let->like, table->fields[let->where_field], &wanted);
        int fit[512], count = 0;
        for (int row = 0; row < table->row_count && count < 512; row++)
            if (!taken(t, variable, let->tables[k], row) &&
                (!chosen || mr_slice_equal(table->rows[row][let->where_field], wanted)))
                fit[count++] = row;
        if (!count)
            return mr_fail(MR_EFILE, "story grammar: no row is left for \"%.*s\" of story \"%.*s\"",
                           (int)let->name.size, let->name.text, (int)t->story->name.size, t->story->name.text);
        t->rows[variable][k] = fit[draw_below(t, count)];
    }
    return 0;
}

/* ---- the text ------------------------------------------------------------------------------------------ */

/* Writes one character; spaces are held back, so that there is one between words and none at a line's end. */
static int put(struct telling *t, char c)
{
    if (c == ' ') {
        t->gap = t->out->size > t->start && t->out->text[t->out->size - 1] != '\n';
        return 0;
    }
    if (c != '\n') {
        if (t->article && strchr("aeiouAEIOU", c))
            MR_TRY(mr_str_append(t->out, "n", 1));
        if (t->gap)
            MR_TRY(mr_str_append(t->out, " ", 1));
        if (t->capital && c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        t->capital = false;
    }
    t->article = t->gap = false;
    return mr_str_append(t->out, &c, 1);
}

static int expand(struct telling *t, struct mr_slice text, const int *arguments);

/* The end of what begins with text.text[at], an opening bracket: the place of its closing one. */
static size_t closing(struct mr_slice text, size_t at, char open, char close)
{
    int depth = 0;
    for (; at < text.size; at++) {
        depth += (text.text[at] == open) - (text.text[at] == close);
        if (!depth)
            return at;
    }
    return text.size;
}

/* [a|b|c] without its brackets. */
static int expand_choice(struct telling *t, struct mr_slice inside, const int *arguments)
{
    int count = 1, depth = 0;
    for (size_t i = 0; i < inside.size; i++) {
        depth += (inside.text[i] == '[') - (inside.text[i] == ']');
        count += !depth && inside.text[i] == '|';
    }
    int pick = (int)draw_below(t, count);
    size_t start = 0;
    for (size_t i = 0; i <= inside.size; i++) {
        if (i < inside.size) {
            depth += (inside.text[i] == '[') - (inside.text[i] == ']');
            if (depth || inside.text[i] != '|')
                continue;
        }
        if (!pick--)
            return expand(t, (struct mr_slice){inside.text + start, i - start}, arguments);
        start = i + 1;
    }
    return 0;
}

/* The variable that a name or the number of an argument means, or NONE. */
static int find_variable(const struct telling *t, struct mr_slice name, const int *arguments)
{
    if (name.size == 1 && name.text[0] >= '1' && name.text[0] <= '0' + MOST_ARGUMENTS)
        return arguments[name.text[0] - '1'];
    for (int i = 0; i < t->story->let_count; i++)
        if (mr_slice_equal(t->story->lets[i].name, name))
            return i;
    return NONE;
}

static int unknown(const struct telling *t, struct mr_slice name)
{
    return mr_fail(MR_EFILE, "story grammar: story \"%.*s\" names \"%.*s\", which is neither a variable's nor a rule's",
                   (int)t->story->name.size, t->story->name.text, (int)name.size, name.text);
}

/* {…} without its braces. */
static int expand_reference(struct telling *t, struct mr_slice inside, const int *arguments)
{
    if (inside.size && inside.text[0] == '^') {
        t->capital = true;
        inside = (struct mr_slice){inside.text + 1, inside.size - 1};
    }
    struct mr_slice whole = inside, rest = inside;
    struct mr_slice name = mr_slice_take(&rest, '.');
    int variable = find_variable(t, name, arguments);
    if (variable != NONE) {
        const struct mr_grammar_table *first = &t->grammar->tables[t->story->lets[variable].tables[0]];
        const int own[MOST_ARGUMENTS] = {variable, NONE, NONE};
        struct mr_slice value;
        if (!field_of(t, variable, rest.size ? mr_slice_trim(rest) : first->fields[0], &value))
            return unknown(t, whole);
        return expand(t, value, own);
    }
    int given[MOST_ARGUMENTS] = {NONE, NONE, NONE};
    name = mr_slice_take(&inside, ' ');
    for (int i = 0; i < MOST_ARGUMENTS && inside.size; i++) {
        struct mr_slice argument = mr_slice_take(&inside, ' ');
        given[i] = find_variable(t, argument, arguments);
        if (given[i] == NONE)
            return unknown(t, argument);
    }
    for (int i = 0; i < t->grammar->rule_count; i++) {
        const struct mr_grammar_rule *rule = &t->grammar->rules[i];
        if (mr_slice_equal(rule->name, name))
            return expand(t, rule->choices[draw_below(t, rule->choice_count)], given);
    }
    /* the name of a table stands for any of its rows */
    for (int i = 0; i < t->grammar->table_count; i++) {
        const struct mr_grammar_table *table = &t->grammar->tables[i];
        if (mr_slice_equal(table->name, name) && table->row_count)
            return expand(t, table->rows[draw_below(t, table->row_count)][0], given);
    }
    return unknown(t, whole);
}

static int expand(struct telling *t, struct mr_slice text, const int *arguments)
{
    if (t->depth == MOST_DEPTH)
        return mr_fail(MR_EFILE, "story grammar: a rule in story \"%.*s\" leads to itself", (int)t->story->name.size,
                       t->story->name.text);
    if (t->parts++ == MOST_PARTS || t->out->size - t->start > LONGEST_STORY)
        return mr_fail(MR_EFILE, "story grammar: story \"%.*s\" becomes too long", (int)t->story->name.size,
                       t->story->name.text);
    t->depth++;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.text[i];
        struct mr_slice rest = {text.text + i, text.size - i};
        if (c == '[' || c == '{') {
            size_t end = closing(text, i, c, c == '[' ? ']' : '}');
            if (end == text.size)
                return mr_fail(MR_EFILE, "story grammar: a bracket is not closed: %.*s", (int)rest.size, rest.text);
            struct mr_slice inside = {text.text + i + 1, end - i - 1};
            MR_TRY(c == '[' ? expand_choice(t, inside, arguments) : expand_reference(t, inside, arguments));
            i = end;
        } else if (rest.size > 4 && (c == 'a' || c == 'A') && !memcmp(rest.text + 1, "(n)", 3)) {
            MR_TRY(put(t, c));
            t->article = true;
            i += 3;
        } else if (c == '/' && rest.size > 1 && rest.text[1] == ' ') {
            MR_TRY(put(t, '\n'));
        } else {
            MR_TRY(put(t, c == '\n' ? ' ' : c));
        }
    }
    t->depth--;
    return 0;
}

int mr_stories_tell(const mr_stories *s, uint64_t index, struct mr_str *text)
{
    const int none[MOST_ARGUMENTS] = {NONE, NONE, NONE};
    struct telling t = {.grammar = &s->grammar,
                        .draw = {.seed = s->seed, .stream = MR_STREAM_STORIES, .step = index},
                        .out = text,
                        .start = text->size};
    t.story = &s->grammar.stories[draw_below(&t, s->grammar.story_count)];
    for (int i = 0; i < t.story->let_count; i++)
        MR_TRY(draw_variable(&t, i));
    MR_TRY(expand(&t, t.story->text, none));
    return mr_str_append(text, "\n" MR_END_OF_TEXT "\n", sizeof MR_END_OF_TEXT + 1);
}

int mr_stories_open_grammar(mr_stories **out, const char *grammar, uint64_t seed)
{
    mr_stories *s = mr_alloc(1, sizeof *s);
    int err;
    *out = NULL;
    if (!s)
        return MR_ENOMEM;
    s->seed = seed;
    s->text = mr_strdup(grammar);
    err = s->text ? mr_grammar_read(&s->grammar, s->text) : MR_ENOMEM;
    if (err < 0) {
        mr_stories_close(s);
        return err;
    }
    *out = s;
    return 0;
}

int mr_stories_open(mr_stories **s, uint64_t seed)
{
    return mr_stories_open_grammar(s, mr_stories_grammar, seed);
}

void mr_stories_close(mr_stories *s)
{
    if (!s)
        return;
    mr_grammar_free(&s->grammar);
    free(s->text);
    free(s);
}
