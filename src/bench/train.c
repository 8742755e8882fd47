/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/train.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/progress.h"
#include "bench/facts.h"
#include "bench/limits.h"
#include "bench/statistics.h"
#include "formats/config_json.h"
#include "model/layer.h"
#include "model/sizes.h"
#include "train/trainer.h"

int mr_train_bench_model(struct mr_train_config *cfg, const char *name)
{
    struct mr_config model;
    MR_TRY(mr_config_by_name(&model, name, NULL));
    json_t *keys = mr_config_to_json(&model), *value;
    const char *key;
    char text[200];
    int err = keys ? 0 : MR_ENOMEM;
    snprintf(text, sizeof text, "family='%s'", mr_family_name(model.family));
    err = err ? err : mr_train_config_assign(cfg, text);
    json_object_foreach(keys, key, value) {
        if (json_is_string(value))
            snprintf(text, sizeof text, "%s='%s'", key, json_string_value(value));
        else if (json_is_boolean(value))
            snprintf(text, sizeof text, "%s=%s", key, json_is_true(value) ? "True" : "False");
        else
            snprintf(text, sizeof text, "%s=%.12g", key, json_number_value(value));
        if (!err && strcmp(key, "family"))
            err = mr_train_config_assign(cfg, text);
    }
    json_decref(keys);
    return err;
}

/* ---- random tokens ------------------------------------------------------------------------------------------- */

static int write_split(const char *folder, const char *name, size_t count, uint64_t vocabulary)
{
    const struct mr_philox draws = {.seed = 1};
    char path[4096];
    uint16_t *tokens = mr_alloc(count, sizeof *tokens);
    if (!tokens)
        return MR_ENOMEM;
    for (size_t i = 0; i < count; i++)
        tokens[i] = (uint16_t)mr_philox_below(&draws, i, vocabulary);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int err = mr_file_write(path, tokens, count * sizeof *tokens);
    free(tokens);
    return err;
}

static int write_data(const struct mr_train_config *cfg, const char *folder)
{
    const struct mr_value *given = mr_settings_find(&cfg->model, "vocab_size");
    int64_t vocabulary = given && given->kind == MR_VALUE_INT ? given->integer : 0;
    uint64_t below = vocabulary > 0 && vocabulary < 50304 ? (uint64_t)vocabulary : 50304;
    size_t count = 4 * (size_t)cfg->block_size + (1 << 16);
    MR_TRY(write_split(folder, "train.bin", count, below));
    return write_split(folder, "val.bin", (size_t)cfg->block_size + 2, below);
}

static void remove_data(const char *folder)
{
    static const char *const names[] = {"train.bin", "val.bin"};
    char path[4096];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* ---- timing -------------------------------------------------------------------------------------------------- */

/* Of a step: six for each number of a matrix and token; attention and recurrence are not counted. */
static double step_flops(const mr_trainer *t)
{
    const struct mr_family *family = mr_family(&t->model->cfg);
    double numbers = 0, tokens = (double)t->cfg->batch_size * t->cfg->block_size * t->cfg->gradient_accumulation_steps;
    for (int i = 0; i < t->model->params.count; i++) {
        const struct mr_param *p = t->model->params.list[i];
        bool looked_up = mr_head_name(&t->model->cfg) && !strcmp(p->name, family->embedding);
        numbers += p->matrix && !looked_up ? (double)p->count : 0;
    }
    return 6 * numbers * tokens;
}

static int put_result(const mr_trainer *t, const struct mr_train_bench *b, double *ms, size_t count,
                      const struct mr_limits *limits, int (*put)(void *to, json_t *line), void *to)
{
    const struct mr_device_info *device = mr_runtime_info(t->rt);
    double tokens = (double)t->cfg->batch_size * t->cfg->block_size * t->cfg->gradient_accumulation_steps;
    double median = mr_quantile(ms, count, 0.5), gflops = 1e-6 * step_flops(t) / ms[0];
    size_t peak = 0;
    mr_device_bytes(t->rt, NULL, &peak);
    json_t *rest =
        json_pack("{ss ss so si si sI sI sf sf sf sf sf sf sI sI}", "label", b->label, "family",
                  mr_family_name(t->model->cfg.family), "config", mr_config_to_json(&t->model->cfg), "batch_size",
                  t->cfg->batch_size, "block_size", t->cfg->block_size, "parameters",
                  (json_int_t)mr_params_elements(&t->model->params), "steps", (json_int_t)count, "step_ms_min", ms[0],
                  "step_ms_median", median, "noise", median / ms[0] - 1, "tokens_per_s", 1e3 * tokens / median,
                  "gflops", gflops, "share_of_limit", mr_limits_share(limits, gflops, 0), "peak_device_bytes",
                  (json_int_t)peak, "resident_bytes", (json_int_t)mr_bench_resident());
    return mr_bench_hand_on("train", device, rest, b->command, put, to);
}

static int time_steps(mr_trainer *t, const struct mr_train_bench *b, double *ms, size_t *count)
{
    float loss, norm;
    *count = 0;
    MR_TRY(mr_trainer_iterate(t, 1e-5, &loss, &norm));
    MR_TRY(mr_finish(t->rt));
    while (*count < (size_t)b->steps && (!*b->stop || !*count)) {
        double from = mr_now();
        MR_TRY(mr_trainer_iterate(t, 1e-5, &loss, &norm));
        MR_TRY(mr_finish(t->rt));
        ms[(*count)++] = 1e3 * (mr_now() - from);
    }
    return 0;
}

int mr_train_measure(mr_runtime *rt, const struct mr_train_bench *b, int (*put)(void *to, json_t *line), void *to)
{
    const char *temporary = getenv("TMPDIR");
    mr_trainer t = {.saved = -1, .proven = -1};
    struct mr_limits limits;
    char folder[1024];
    size_t count = 0;
    int err;
    double *ms = mr_alloc((size_t)b->steps, sizeof *ms);
    if (!ms)
        return MR_ENOMEM;
    snprintf(folder, sizeof folder, "%s/microrwkv-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        free(ms);
        return mr_fail(MR_EFILE, "%s: %s", folder, strerror(errno));
    }
    free(b->cfg->dataset);
    b->cfg->dataset = mr_strdup(folder);
    MR_GO(b->cfg->dataset ? write_data(b->cfg, folder) : MR_ENOMEM);
    MR_GO(mr_trainer_open(&t, rt, b->cfg));
    MR_GO(time_steps(&t, b, ms, &count));
    MR_GO(mr_limits_measure(rt, 0.2, &limits));
    err = put_result(&t, b, ms, count, &limits, put, to);
fail:
    mr_trainer_close(&t);
    remove_data(folder);
    free(ms);
    return err;
}
