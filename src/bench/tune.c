/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tuning: the products of a class and transposition are timed with one candidate after the other, which is made the
 * only rule of the table; the one with the best mean wins. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/gemm.h"

enum { MOST = 8, RULE = 100 };
static const double seconds_each = 0.05;
static const double least_gain = 0.02; /* what noise alone would show as one */

struct candidates {
    char rule[MOST][RULE];
    int count;
};

static const char *const class_names[] = {"vector", "small", "medium", "large", "any"};

__attribute__((format(printf, 2, 3))) static void propose(struct candidates *c, const char *format, ...)
{
    va_list args;
    if (c->count == MOST)
        return;
    va_start(args, format);
    vsnprintf(c->rule[c->count++], RULE, format, args);
    va_end(args);
}

/* Tiles that fit the registers of a work-item that is alone, or squares of those that share one. Each is compiled anew,
 * for seconds: a handful must do. */
static void propose_all(const mr_runtime *rt, struct candidates *c)
{
    static const struct {
        int rows, vectors, depth;
    } tiles[] = {{6, 4, 128}, {6, 4, 256}, {8, 3, 128}, {12, 2, 128}, {6, 2, 192}, {4, 2, 128}};
    static const int sides[] = {4, 8, 16};
    const struct mr_device_info *info = mr_runtime_info(rt);
    int registers = info->vec == 16 ? 32 : 16;
    for (size_t i = 0; info->lanes == 1 && i < sizeof tiles / sizeof tiles[0]; i++)
        if (tiles[i].rows * tiles[i].vectors + tiles[i].vectors + 1 <= registers)
            propose(c, "own rows=%d vectors=%d depth=%d", tiles[i].rows, tiles[i].vectors, tiles[i].depth);
    for (int i = 0; info->lanes > 1 && i < 3; i++)
        if ((size_t)sides[i] * (size_t)sides[i] <= info->max_group) {
            propose(c, "own side=%d", sides[i]);
            propose(c, "clblast side=%d", sides[i]);
        }
}

/* The geometric mean of the speeds of the shapes of a class. 0: there are none. */
static int mean_speed(mr_runtime *rt, const struct mr_shapes *shapes, const struct mr_tuned *of, double *gflops)
{
    double sum = 0, noise, speed;
    int count = 0;
    for (size_t i = 0; i < shapes->count; i++) {
        const struct mr_gemm *g = &shapes->list[i];
        if (mr_gemm_class_of(g) != of->size || g->trans_a != of->trans_a || g->trans_b != of->trans_b)
            continue;
        MR_TRY(mr_gemm_time(rt, g, seconds_each, &speed, &noise));
        sum += log(speed);
        count++;
    }
    *gflops = count ? exp(sum / count) : 0;
    return count;
}

static int use(mr_runtime *rt, const char *rule)
{
    char table[RULE + 16];
    snprintf(table, sizeof table, "any ** * %s\n", rule);
    return mr_gemm_set_table(rt, "tune", table);
}

/* The device's table as it is, as text. */
static int write_rules(const struct mr_gemm_table *table, struct mr_str *text, bool alone)
{
    for (int i = 0; i < table->count; i++) {
        const struct mr_gemm_rule *r = &table->rules[i];
        MR_TRY(mr_str_printf(text, "%-6s %.2s *  %s ", class_names[r->size], r->trans, r->clblast ? "clblast" : "own"));
        if (alone)
            MR_TRY(
                mr_str_printf(text, "rows=%d vectors=%d depth=%d\n", r->tiles.rows, r->tiles.vectors, r->tiles.depth));
        else
            MR_TRY(mr_str_printf(text, "side=%d\n", r->tiles.side));
    }
    return 0;
}

static int tune_class(mr_runtime *rt, const struct mr_shapes *shapes, const char *before, const struct candidates *c,
                      const volatile sig_atomic_t *stop, struct mr_tuned *t)
{
    MR_TRY(mr_gemm_set_table(rt, "the device's table", before));
    int count = mean_speed(rt, shapes, t, &t->before);
    MR_TRY(count);
    t->after = t->before * (1 + least_gain);
    for (int i = 0; i < c->count && count; i++) {
        double speed;
        if (*stop)
            return mr_fail(MR_EINTERRUPTED, "stopped; no table was written");
        MR_TRY(use(rt, c->rule[i]));
        MR_TRY(mean_speed(rt, shapes, t, &speed));
        if (speed > t->after) {
            t->after = speed;
            memcpy(t->rule, c->rule[i], RULE);
        }
    }
    if (!*t->rule)
        t->after = t->before;
    return count;
}

int mr_tune(mr_runtime *rt, const struct mr_shapes *shapes, void (*found)(void *context, const struct mr_tuned *tuned),
            void *context, const volatile sig_atomic_t *stop, struct mr_str *text)
{
    struct candidates candidates = {.count = 0};
    struct mr_str before = {0};
    int err;
    propose_all(rt, &candidates);
    MR_GO(write_rules(mr_gemm_table_of(rt), &before, mr_runtime_info(rt)->lanes == 1));
    for (int i = 0; i < 4 * MR_GEMM_ANY; i++) {
        struct mr_tuned t = {.size = (enum mr_gemm_class)(i / 4), .trans_a = i & 1, .trans_b = i & 2};
        if (t.size == MR_GEMM_VECTOR)
            continue;
        int count = tune_class(rt, shapes, before.text, &candidates, stop, &t);
        MR_GO(count);
        if (!count)
            continue;
        found(context, &t);
        if (*t.rule)
            MR_GO(mr_str_printf(text, "%-6s %c%c %d %s\n", class_names[t.size], t.trans_a ? 't' : 'n',
                                t.trans_b ? 't' : 'n', mr_runtime_info(rt)->vec, t.rule));
    }
    MR_GO(mr_str_append(text, before.text, before.size)); /* all else as it was */
    MR_GO(mr_gemm_set_table(rt, "the new table", text->text));
    err = 0;
fail:
    mr_str_free(&before);
    return err;
}
