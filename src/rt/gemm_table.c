/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rt/gemm_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"

static const char *const classes[] = {"vector", "small", "medium", "large", "any"};

/* The number behind "key=", if the word says so. */
static bool keyed(const char *word, const char *key, int low, int high, int *value, bool *wrong)
{
    size_t n = strlen(key);
    if (strncmp(word, key, n) || word[n] != '=')
        return false;
    char *end;
    long number = strtol(word + n + 1, &end, 10);
    *wrong = *end || end == word + n + 1 || number < low || number > high;
    *value = (int)number;
    return true;
}

static bool read_tile(const char *word, struct mr_gemm_tiles *t)
{
    bool wrong = false;
    if (keyed(word, "side", 4, 16, &t->side, &wrong))
        return !wrong && !(t->side & (t->side - 1));
    return (keyed(word, "rows", 1, 16, &t->rows, &wrong) || keyed(word, "vectors", 1, 4, &t->vectors, &wrong) ||
            keyed(word, "depth", 16, 1024, &t->depth, &wrong)) &&
           !wrong;
}

/* Reads a line's words; *vec is 0 for any width. */
static bool read_rule(char *line, struct mr_gemm_rule *rule, int *vec)
{
    char *rest, *words[4];
    *rule = (struct mr_gemm_rule){.tiles = {.rows = 6, .vectors = 2, .depth = 128, .side = 8}};
    for (int i = 0; i < 4; i++)
        if (!(words[i] = strtok_r(i ? NULL : line, " \t", &rest)))
            return false;
    int size = 0;
    while (size <= MR_GEMM_ANY && strcmp(words[0], classes[size]))
        size++;
    if (size > MR_GEMM_ANY || strlen(words[1]) != 2 || strspn(words[1], "nt*") != 2)
        return false;
    rule->size = (enum mr_gemm_class)size;
    memcpy(rule->trans, words[1], 2);
    *vec = atoi(words[2]);
    if (strcmp(words[2], "*") && *vec != 8 && *vec != 16 && *vec != 4)
        return false;
    rule->clblast = !strcmp(words[3], "clblast");
    if (!rule->clblast && strcmp(words[3], "own"))
        return false;
    for (char *word; (word = strtok_r(NULL, " \t", &rest));)
        if (!read_tile(word, &rule->tiles))
            return false;
    return true;
}

static int add_rule(struct mr_gemm_table *table, const struct mr_gemm_rule *rule)
{
    struct mr_gemm_rule *grown = mr_realloc(table->rules, (size_t)table->count + 1, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    table->rules = grown;
    table->rules[table->count++] = *rule;
    return 0;
}

/* Over what the rules say, so that comments do not count. */
static uint64_t hash_of(const struct mr_gemm_table *table)
{
    uint64_t hash = 0;
    for (int i = 0; i < table->count; i++) {
        const struct mr_gemm_rule *r = &table->rules[i];
        int words[] = {(int)r->size,  r->trans[0],      r->trans[1],    r->clblast,
                       r->tiles.rows, r->tiles.vectors, r->tiles.depth, r->tiles.side};
        hash = XXH3_64bits_withSeed(words, sizeof words, hash);
    }
    return hash;
}

int mr_gemm_table_parse(struct mr_gemm_table *table, const char *name, const char *text, int vec)
{
    int err = 0, number = 0;
    *table = (struct mr_gemm_table){0};
    char *copy = mr_strdup(text);
    if (!copy)
        return MR_ENOMEM;
    for (char *line = copy, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        line[strcspn(line, "#\r")] = 0;
        if (!line[strspn(line, " \t")])
            continue;
        struct mr_gemm_rule rule;
        int width;
        if (!read_rule(line, &rule, &width)) {
            err = mr_fail(MR_EFILE,
                          "%s:%d: not a line of a GEMM table: class, op, vec, provider, tiles; see "
                          "data/tune/cpu.tune",
                          name, number);
            goto fail;
        }
        if (!width || width == vec)
            MR_GO(add_rule(table, &rule));
    }
    const struct mr_gemm_rule *last = table->count ? &table->rules[table->count - 1] : NULL;
    if (!last || (last->size != MR_GEMM_ANY && last->size != MR_GEMM_LARGE) || memcmp(last->trans, "**", 2)) {
        err = mr_fail(MR_EFILE,
                      "%s: the last line for vectors of %d does not fit every product: end with class any "
                      "or large and op **",
                      name, vec);
        goto fail;
    }
    table->hash = hash_of(table);
    free(copy);
    return 0;

fail:
    free(copy);
    mr_gemm_table_free(table);
    return err;
}

void mr_gemm_table_free(struct mr_gemm_table *table)
{
    free(table->rules);
    *table = (struct mr_gemm_table){0};
}

enum mr_gemm_class mr_gemm_class_of(const struct mr_gemm *g)
{
    double work = (double)g->m * g->n * g->k;
    if (g->m <= MR_GEMM_VECTORS || g->n <= MR_GEMM_VECTORS)
        return MR_GEMM_VECTOR;
    return work < 0x1p21 ? MR_GEMM_SMALL : work < 0x1p27 ? MR_GEMM_MEDIUM : MR_GEMM_LARGE;
}

const struct mr_gemm_rule *mr_gemm_table_choose(const struct mr_gemm_table *table, const struct mr_gemm *g)
{
    enum mr_gemm_class size = mr_gemm_class_of(g);
    char a = g->trans_a ? 't' : 'n', b = g->trans_b ? 't' : 'n';
    const struct mr_gemm_rule *rule = table->rules;
    for (int i = 0; i < table->count; i++, rule++)
        if ((rule->size == size || rule->size == MR_GEMM_ANY) && (rule->trans[0] == '*' || rule->trans[0] == a) &&
            (rule->trans[1] == '*' || rule->trans[1] == b))
            return rule;
    return &table->rules[table->count - 1];
}
