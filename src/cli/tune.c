/* SPDX-License-Identifier: GPL-3.0-or-later
 * tune: measures tiles of matrix products for models' shapes, and writes the device's table. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "bench/gemm.h"
#include "bench/models.h"
#include "cli/cli.h"
#include "microrwkv/microrwkv.h"

struct request {
    struct mr_common common;
    const char *out;
    int64_t rows;
    struct mr_bench_model *models;
    int count;
    int err; /* of printing */
};

static const char *class_name(enum mr_gemm_class size)
{
    static const char *const names[] = {"vector", "small", "medium", "large", "any"};
    return names[size];
}

static void found(void *context, const struct mr_tuned *t)
{
    struct request *r = context;
    char op[3] = {t->trans_a ? 't' : 'n', t->trans_b ? 't' : 'n', 0};
    if (r->common.json) {
        int err = mr_print_json(json_pack("{ss ss sf sf ss}", "class", class_name(t->size), "op", op, "before_gflops",
                                          t->before, "gflops", t->after, "rule", t->rule));
        r->err = r->err ? r->err : err;
        return;
    }
    printf("%-7s %s  %8.1f -> %8.1f GFLOPS  %s\n", class_name(t->size), op, t->before, t->after,
           *t->rule ? t->rule : "as before");
    fflush(stdout);
}

/* Products of the model with rows of a training batch, and of a short prompt. */
static int add_shapes(const struct request *r, struct mr_shapes *shapes)
{
    for (int i = 0; i < r->count; i++) {
        MR_TRY(mr_shapes_add(shapes, &r->models[i].cfg, (int)r->rows));
        if (r->rows > 64)
            MR_TRY(mr_shapes_add(shapes, &r->models[i].cfg, 64));
    }
    return 0;
}

static int write_head(const struct request *r, const struct mr_device_info *d, struct mr_str *text)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%d", &utc);
    MR_TRY(mr_str_printf(text, "# %s (%s, driver %s)\n# measured on %s by microrwkv %s for", d->name, d->platform,
                         d->driver, date, mr_version()));
    for (int i = 0; i < r->count; i++)
        MR_TRY(mr_str_printf(text, " %s", r->models[i].label));
    return mr_str_printf(text, ", %lld rows; see data/tune/cpu.tune\n", (long long)r->rows);
}

static int write_table(const struct request *r, const struct mr_device_info *d, const struct mr_str *text)
{
    struct mr_str path = {0}, folder = {0};
    int err;
    if (r->out) {
        err = mr_file_write(r->out, text->text, text->size);
        if (!err)
            fprintf(stderr, "the table is in %s\n", r->out);
        return err;
    }
    MR_GO(mr_gemm_table_path(&path, d));
    MR_GO(mr_str_append(&folder, path.text, (size_t)(strrchr(path.text, '/') - path.text)));
    MR_GO(mr_make_folder(folder.text, 0700));
    MR_GO(mr_file_write(path.text, text->text, text->size));
    fprintf(stderr, "the table is in %s: '%s' follows it from now on\n", path.text, d->name);
fail:
    mr_str_free(&folder);
    mr_str_free(&path);
    return err;
}

static int run(struct request *r)
{
    mr_runtime *rt = NULL;
    struct mr_shapes shapes = {0};
    struct mr_str text = {0};
    const volatile sig_atomic_t *stop = mr_catch_signals();
    int err;
    MR_GO(add_shapes(r, &shapes));
    MR_GO(mr_common_open(&r->common, &rt));
    MR_GO(write_head(r, mr_runtime_info(rt), &text));
    MR_GO(mr_tune(rt, &shapes, found, r, stop, &text));
    MR_GO(r->err);
    MR_GO(write_table(r, mr_runtime_info(rt), &text));
fail:
    mr_shapes_free(&shapes);
    mr_str_free(&text);
    mr_common_close(&r->common, rt);
    return err;
}

int mr_command_tune(int argc, char **argv)
{
    struct request r = {.rows = 512};
    struct mr_words words = {0};
    const struct mr_option options[] = {
        {"out", MR_OPTION_TEXT, &r.out, "FILE", "write the table there instead of the cache, where it takes effect"},
        {"rows", MR_OPTION_INT, &r.rows, "N", "tokens of a batch (512)"},
        MR_DEVICE_OPTION(&r.common),
        MR_JSON_OPTION(&r.common),
    };
    const struct mr_syntax syntax = {
        .name = "tune",
        .words = "[MODEL ...]",
        .about =
            "Tries tiles of matrix products on the shapes of models (microrwkv and gpt2), and writes the device's "
            "table.\nProducts add in another order with another table: results keep their bits only under the same "
            "one.",
        .example = "microrwkv tune gpt2 --device gpu --out my-gpu.tune",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 0,
        .max_words = INT_MAX,
    };
    struct mr_str names = {0};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && (r.rows < 1 || r.rows > 1 << 20))
        err = mr_fail(MR_EINVAL, "tune: --rows must be between 1 and 2^20");
    for (int i = 0; i < words.count && !err; i++)
        err = mr_str_printf(&names, "%s%s", i ? "," : "", words.word[i]);
    if (!err)
        err = mr_bench_models(names.text ? names.text : "microrwkv,gpt2", 1, &r.models, &r.count);
    if (!err)
        err = run(&r);
    mr_str_free(&names);
    mr_bench_models_free(r.models, r.count);
    mr_words_free(&words);
    return err;
}
