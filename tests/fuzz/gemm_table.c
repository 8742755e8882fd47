/* SPDX-License-Identifier: GPL-3.0-or-later
 * GEMM tables, for every width of vectors; each product finds a rule whose tiles are sound. */
#include "fuzz.h"

#include "rt/gemm_table.h"

static void choose(const struct mr_gemm_table *table)
{
    static const int sizes[] = {1, 8, 9, 500, 20000};
    for (int i = 0; i < 5 * 5 * 5 * 4; i++) {
        struct mr_gemm g = {.m = sizes[i % 5],
                            .n = sizes[i / 5 % 5],
                            .k = sizes[i / 25 % 5],
                            .trans_a = i / 125 & 1,
                            .trans_b = i / 125 / 2};
        const struct mr_gemm_rule *rule = mr_gemm_table_choose(table, &g);
        fuzz_must(rule >= table->rules && rule < table->rules + table->count);
        fuzz_must(rule->tiles.rows > 0 && rule->tiles.vectors > 0 && rule->tiles.depth > 0 && rule->tiles.side > 0);
    }
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static const int widths[] = {4, 8, 16};
    char *text = fuzz_text(data, size);
    int err = 0;
    for (int i = 0; i < 3; i++) {
        struct mr_gemm_table table;
        int failed = mr_gemm_table_parse(&table, "a.tune", text, widths[i]);
        if (!failed)
            choose(&table);
        mr_gemm_table_free(&table);
        err = failed ? failed : err;
    }
    free(text);
    return err;
}
