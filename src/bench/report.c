/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "bench/plot.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width\">\n<title>microrwkv: measurements</title>\n<style>\n"
    ":root{color-scheme:light dark}body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
    "img{width:100%;max-width:800px;height:auto}table{border-collapse:collapse;margin:1rem 0;display:block;"
    "overflow-x:auto}\nth,td{padding:.2rem .7rem;border-bottom:1px solid #8886;text-align:right;white-space:nowrap}\n"
    "th:first-child,td:first-child{text-align:left}code{white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "</style></head><body>\n<h1>Measurements</h1>\n";

/* Text as HTML has it. */
static int put_text(struct mr_str *page, const char *text)
{
    for (; *text; text++) {
        const char *as = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        MR_TRY(as ? mr_str_append(page, as, strlen(as)) : mr_str_append(page, text, 1));
    }
    return 0;
}

static int put_base64(struct mr_str *page, const struct mr_str *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = (const unsigned char *)bytes->text;
    for (size_t i = 0; i < bytes->size; i += 3) {
        size_t left = bytes->size - i;
        unsigned n = (unsigned)b[i] << 16 | (left > 1 ? (unsigned)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);
        char four[4] = {digits[n >> 18], digits[n >> 12 & 63], left > 1 ? digits[n >> 6 & 63] : '=',
                        left > 2 ? digits[n & 63] : '='};
        MR_TRY(mr_str_append(page, four, sizeof four));
    }
    return 0;
}

/* ---- pictures ------------------------------------------------------------------------------------------------ */

static int put_image(struct mr_str *page, const char *folder, const struct mr_picture *p, const char *ground)
{
    struct mr_str svg = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%s.svg", folder, p->name, ground);
    int err = mr_file_read(path, (size_t)1 << 28, &svg);
    if (!err)
        err = mr_str_printf(page, "data:image/svg+xml;base64,");
    if (!err)
        err = put_base64(page, &svg);
    mr_str_free(&svg);
    return err;
}

static int put_picture(struct mr_str *page, const char *folder, const struct mr_picture *p)
{
    MR_TRY(mr_str_printf(page, "<h2>%s</h2>\n<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"",
                         p->title));
    MR_TRY(put_image(page, folder, p, "dark"));
    MR_TRY(mr_str_printf(page, "\"><img alt=\"%s\" src=\"", p->title));
    MR_TRY(put_image(page, folder, p, "light"));
    return mr_str_printf(page, "\"></picture>\n");
}

static void remove_pictures(const char *folder)
{
    static const char *const grounds[] = {"light", "dark"}, *const kinds[] = {"svg", "png"};
    char path[4096];
    for (int i = 0; mr_picture(i); i++)
        for (int k = 0; k < 4; k++) {
            snprintf(path, sizeof path, "%s/%s-%s.%s", folder, mr_picture(i)->name, grounds[k / 2], kinds[k % 2]);
            unlink(path);
        }
    rmdir(folder);
}

static int put_pictures(struct mr_str *page, const struct mr_results *r)
{
    const char *temporary = getenv("TMPDIR");
    bool drawn[MR_PICTURES] = {false};
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/microrwkv-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder))
        return mr_fail(MR_EFILE, "%s: %s", folder, strerror(errno));
    int err = mr_plot(r, folder, drawn);
    if (err < 0) {
        mr_log(MR_LOG_WARNING, "%s", mr_error_text());
        err = mr_str_printf(page, "<p>");
        err = err ? err : put_text(page, mr_error_text());
        err = err ? err : mr_str_printf(page, "</p>\n");
    } else {
        for (int i = 0; mr_picture(i) && !err; i++)
            if (drawn[i])
                err = put_picture(page, folder, mr_picture(i));
    }
    remove_pictures(folder);
    return err;
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

/* A table of the lines of one kind; a column is a key with its heading. `summaries`: only those. */
static const struct table {
    const char *kind, *title;
    bool summaries;
    struct {
        const char *key, *heading;
    } columns[12];
} tables[] = {
    {"limits", "What the devices can do at most", false, {{"gflops", "GFLOPS"}, {"gb_per_s", "GB/s"}}},
    {"latency",
     "Time per token",
     true,
     {{"model", "model"},
      {"precision", "precision"},
      {"texts", "texts"},
      {"tokens", "tokens"},
      {"first_token_ms", "first ms"},
      {"median_ms", "median ms"},
      {"p99_ms", "p99 ms"},
      {"slope_ms_per_1000", "ms per 1000 tokens"},
      {"peak_device_bytes", "device memory"},
      {"resident_bytes", "resident memory"},
      {"reason", ""}}},
    {"train",
     "Training",
     false,
     {{"family", "family"},
      {"label", "model"},
      {"step_ms_min", "step ms, least"},
      {"step_ms_median", "median"},
      {"tokens_per_s", "tokens/s"},
      {"gflops", "GFLOPS"},
      {"share_of_limit", "of the limit"},
      {"peak_device_bytes", "device memory"}}},
    {"gemm",
     "Matrix products",
     false,
     {{"m", "m"},
      {"n", "n"},
      {"k", "k"},
      {"trans_a", "A'"},
      {"trans_b", "B'"},
      {"provider", "by"},
      {"gflops", "GFLOPS"},
      {"share_of_limit", "of the limit"}}},
    {"kernels",
     "Kernels",
     false,
     {{"kernel", "kernel"},
      {"variant", "variant"},
      {"shape", "shape"},
      {"us", "µs"},
      {"gb_per_s", "GB/s"},
      {"gflops", "GFLOPS"},
      {"share_of_limit", "of the limit"}}},
};

static int put_cell(struct mr_str *page, const char *key, const json_t *value)
{
    char bytes[24];
    const char *end = strstr(key, "_bytes");
    MR_TRY(mr_str_printf(page, "<td>"));
    if (json_is_string(value))
        MR_TRY(put_text(page, json_string_value(value)));
    else if (json_is_boolean(value))
        MR_TRY(mr_str_printf(page, "%s", json_is_true(value) ? "yes" : ""));
    else if (json_is_number(value) && end && !end[6])
        MR_TRY(mr_str_printf(page, "%s", mr_format_bytes(bytes, (uint64_t)json_number_value(value))));
    else if (json_is_number(value) && !strcmp(key, "share_of_limit"))
        MR_TRY(mr_str_printf(page, "%.0f%%", 100 * json_number_value(value)));
    else if (json_is_integer(value))
        MR_TRY(mr_str_printf(page, "%lld", (long long)json_integer_value(value)));
    else if (json_is_number(value))
        MR_TRY(mr_str_printf(page, "%.4g", json_number_value(value)));
    return mr_str_printf(page, "</td>");
}

static bool belongs(const struct table *t, const json_t *line)
{
    return !strcmp(mr_result_kind(line), t->kind) && (!t->summaries || json_is_true(json_object_get(line, "summary")));
}

static int put_table(struct mr_str *page, const struct mr_results *r, const struct table *t)
{
    size_t i, rows = 0;
    json_t *line;
    json_array_foreach(r->lines, i, line) {
        if (!belongs(t, line))
            continue;
        if (!rows++) {
            MR_TRY(mr_str_printf(page, "<h2>%s</h2>\n<table><tr><th>device</th>", t->title));
            for (int c = 0; t->columns[c].key; c++)
                MR_TRY(mr_str_printf(page, "<th>%s</th>", t->columns[c].heading));
            MR_TRY(mr_str_printf(page, "</tr>\n"));
        }
        MR_TRY(mr_str_printf(page, "<tr><td>"));
        MR_TRY(put_text(page, mr_result_device(r, line)));
        MR_TRY(mr_str_printf(page, "</td>"));
        for (int c = 0; t->columns[c].key; c++)
            MR_TRY(put_cell(page, t->columns[c].key, json_object_get(line, t->columns[c].key)));
        MR_TRY(mr_str_printf(page, "</tr>\n"));
    }
    return rows ? mr_str_printf(page, "</table>\n") : 0;
}

/* ---- where it was measured ----------------------------------------------------------------------------------- */

/* Whether an earlier line says the same of `key` (of the facts), on the same device where `device` is set. */
static bool is_known(const struct mr_results *r, size_t before, const char *key, bool device)
{
    const json_t *line = json_array_get(r->lines, before);
    const char *wanted = key ? mr_result_text(json_object_get(line, "facts"), key) : "";
    for (size_t i = 0; i < before; i++) {
        const json_t *other = json_array_get(r->lines, i), *facts = json_object_get(other, "facts");
        if (facts && (!key || !strcmp(mr_result_text(facts, key), wanted)) &&
            (!device || (!strcmp(mr_result_text(other, "device"), mr_result_text(line, "device")) &&
                         !strcmp(mr_result_text(other, "platform"), mr_result_text(line, "platform")))))
            return true;
    }
    return false;
}

static int put_device(struct mr_str *page, const json_t *line)
{
    const json_t *facts = json_object_get(line, "facts");
    char memory[24];
    MR_TRY(mr_str_printf(page, "<li>"));
    MR_TRY(put_text(page, mr_result_text(line, "device")));
    MR_TRY(mr_str_printf(page, " — "));
    MR_TRY(put_text(page, mr_result_text(line, "platform")));
    MR_TRY(mr_str_printf(page, ", driver "));
    MR_TRY(put_text(page, mr_result_text(facts, "driver")));
    return mr_str_printf(page, ", %.0f compute units at %.0f MHz, %s; measured %s with version %s</li>\n",
                         mr_result_number(facts, "compute_units"), mr_result_number(facts, "clock_mhz"),
                         mr_format_bytes(memory, (uint64_t)mr_result_number(facts, "memory")),
                         mr_result_text(facts, "date"), mr_result_text(facts, "program"));
}

static int put_facts(struct mr_str *page, const struct mr_results *r)
{
    size_t i;
    json_t *line;
    MR_TRY(mr_str_printf(page, "<h2>Where and how</h2>\n<ul>\n"));
    json_array_foreach(r->lines, i, line)
        if (json_object_get(line, "facts") && !is_known(r, i, NULL, true))
            MR_TRY(put_device(page, line));
    MR_TRY(mr_str_printf(page, "</ul>\n<p>Commands:</p>\n"));
    json_array_foreach(r->lines, i, line) {
        if (!json_object_get(line, "facts") || is_known(r, i, "command", false))
            continue;
        MR_TRY(mr_str_printf(page, "<p><code>"));
        MR_TRY(put_text(page, mr_result_text(json_object_get(line, "facts"), "command")));
        MR_TRY(mr_str_printf(page, "</code></p>\n"));
    }
    return 0;
}

int mr_report(const struct mr_results *results, const char *path)
{
    struct mr_str page = {0};
    int err;
    MR_GO(mr_str_append(&page, head, sizeof head - 1));
    MR_GO(put_pictures(&page, results));
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        MR_GO(put_table(&page, results, &tables[i]));
    MR_GO(put_facts(&page, results));
    MR_GO(mr_str_printf(&page, "</body></html>\n"));
    err = mr_file_write(path, page.text, page.size);
fail:
    mr_str_free(&page);
    return err;
}
