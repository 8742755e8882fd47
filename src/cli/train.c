/* SPDX-License-Identifier: GPL-3.0-or-later
 * train: nanoGPT's keys, from a file and from the command line. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/train.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "cli/cli.h"

struct arguments {
    struct mr_common common;
    bool log_ranks;
};

struct view {
    const struct mr_common *common;
    const struct mr_train_config *cfg;
    struct mr_progress bar;
    bool evaluating;
};

static void on_start(void *context, const struct mr_config *model, size_t parameters, size_t trained, int64_t iter)
{
    struct view *v = context;
    v->bar.total = (uint64_t)v->cfg->max_iters; /* a resumed run has only now recalled it */
    fprintf(stderr, "%s: %.2f M parameters, %d layers of width %d, vocabulary %d; data %s, out_dir %s\n",
            mr_family_name(model->family), 1e-6 * (double)parameters, model->n_layer, model->n_embd, model->vocab_size,
            v->cfg->dataset, v->cfg->out_dir);
    if (trained < parameters)
        fprintf(stderr, "%.3f M of them are trained, the others stay as they are\n", 1e-6 * (double)trained);
    if (iter)
        fprintf(stderr, "continuing at iteration %lld, with the optimizer's state\n", (long long)iter);
    if (iter && iter >= v->cfg->max_iters && !v->cfg->eval_only)
        fprintf(stderr, "max_iters=%d is already reached: give a larger one, or start a new run from best.mrw\n",
                v->cfg->max_iters);
}

static void print(const struct view *v, json_t *object)
{
    if (v->common->json && mr_print_json(object) == 0)
        fflush(stdout);
    else if (!v->common->json)
        json_decref(object);
}

static void on_iteration(void *context, int64_t iter, float loss, double lr, float grad_norm, double ms,
                         double tokens_per_s, double seconds_left)
{
    struct view *v = context;
    char left[24];
    mr_progress_update(&v->bar, (uint64_t)iter + 1, "loss %.4f, %.0f tokens/s, %s left", (double)loss, tokens_per_s,
                       mr_format_seconds(left, seconds_left));
    if (v->common->json)
        print(v, json_pack("{sI so sf so so so}", "iter", (json_int_t)iter, "loss", mr_json_finite((double)loss), "lr",
                           lr, "grad_norm", mr_json_finite((double)grad_norm), "ms", mr_json_finite(ms), "tokens_per_s",
                           mr_json_finite(tokens_per_s)));
    else if (!v->bar.shown && iter % 100 == 0)
        fprintf(stderr, "iteration %lld: loss %.4f, %.1f ms, %.0f tokens/s, %s left\n", (long long)iter, (double)loss,
                ms, tokens_per_s, left);
}

static void on_evaluating(void *context, int done, int all)
{
    struct view *v = context;
    mr_progress_update(&v->bar, (uint64_t)done * v->bar.total / (uint64_t)all, "evaluating, batch %d of %d", done, all);
}

static void on_evaluation(void *context, int64_t iter, double train_loss, double val_loss, bool best)
{
    struct view *v = context;
    mr_progress_end(&v->bar);
    fprintf(stderr, "iteration %lld: train loss %.4f, val loss %.4f%s\n", (long long)iter, train_loss, val_loss,
            best ? " (best so far)" : "");
    print(v, json_pack("{sI so so}", "iter", (json_int_t)iter, "train_loss", mr_json_finite(train_loss), "val_loss",
                       mr_json_finite(val_loss)));
}

static void on_saved(void *context, const char *path, int64_t iter)
{
    struct view *v = context;
    mr_progress_end(&v->bar);
    fprintf(stderr, "iteration %lld: saved in %s/ckpt.mrw\n", (long long)iter, path);
}

static void print_keys(void)
{
    static const char *const titles[] = {"", "training keys and their defaults", "keys of a new model"};
    struct mr_key_text key;
    char left[80];
    for (int i = 0, kind, last = 0; (kind = mr_train_config_describe(i, &key)); i++, last = kind) {
        if (kind != last)
            printf("\n%s:\n", titles[kind]);
        snprintf(left, sizeof left, "%s=%s", key.name, key.value);
        printf("  %-32s %s\n", left, key.meaning);
    }
}

/* What the other ranks log: nothing, unless it is asked for. */
static void print_log_of_rank(void *context, enum mr_log_level level, const char *line)
{
    if (level != MR_LOG_DEBUG)
        fprintf(stderr, "rank %d: %s\n", mr_ranks_index(context), line);
}

/* The index of GPU number `turn`, round and round; -1: there are none. */
static int nth_gpu(int turn, int *index)
{
    struct mr_device_info *list = NULL;
    int count = 0, gpus = 0, nth = 0;
    *index = -1;
    MR_TRY(mr_device_list(&list, &count));
    for (int i = 0; i < count; i++)
        gpus += list[i].is_gpu;
    for (int i = 0; i < count; i++)
        if (list[i].is_gpu && nth++ == turn % gpus)
            *index = list[i].index;
    free(list);
    return 0;
}

/* The rank's item of a list, or for any GPU one after the other. NULL: the default; the caller frees the text. */
static int device_of_rank(const struct mr_ranks *ranks, const char *given, char **device)
{
    int turn = mr_ranks_local(ranks), index = -1, items = 1;
    char number[16];
    const char *from = given ? given : getenv("MICRORWKV_DEVICE");
    *device = NULL;
    for (const char *p = from ? from : ""; *p; p++)
        items += *p == ',';
    for (int i = turn % items; i > 0; i--)
        from = strchr(from, ',') + 1;
    if (!from || !strcmp(from, "gpu") || !strncmp(from, "cuda", 4))
        MR_TRY(nth_gpu(turn, &index));
    snprintf(number, sizeof number, "%d", index);
    from = index >= 0 ? number : from;
    if (from && !(*device = strndup(from, strcspn(from, ","))))
        return mr_fail(MR_ENOMEM, "out of memory for the name of a device");
    return 0;
}

static int run(struct mr_common *common, struct mr_train_config *cfg)
{
    struct view view = {.common = common, .cfg = cfg};
    struct mr_train_events events = {&view, on_start, on_iteration, on_evaluation, on_evaluating, on_saved, NULL};
    mr_runtime *rt = NULL;
    const volatile sig_atomic_t *stop = mr_catch_signals();
    bool first = mr_ranks_index(cfg->ranks) == 0;
    char *device = NULL;
    int err = 0;
    if (!common->device)
        common->device = cfg->device;
    if (cfg->ranks) {
        MR_TRY(device_of_rank(cfg->ranks, common->device, &device));
        common->device = device;
    }
    if (first)
        mr_progress_begin(&view.bar, stderr, "train", (uint64_t)cfg->max_iters);
    err = mr_common_open(common, &rt);
    free(device);
    if (!err)
        err = mr_train(rt, cfg, &events, stop);
    mr_progress_end(&view.bar);
    mr_common_close(common, rt);
    if (err || cfg->eval_only || !first)
        return err;
    int drawn = mr_plot_loss(cfg->out_dir);
    if (drawn < 0)
        fprintf(stderr, "%s\n", mr_error_text());
    else if (drawn)
        fprintf(stderr, "the loss curve is in %s/loss.svg\n", cfg->out_dir);
    char buffer[4100];
    fprintf(stderr, "done: try `microrwkv generate %s --prompt \"Once\"`\n",
            mr_shell_word(cfg->out_dir, buffer, sizeof buffer));
    return 0;
}

int mr_command_train(int argc, char **argv)
{
    struct arguments a = {0};
    struct mr_words words = {0};
    struct mr_train_config cfg = {0};
    const struct mr_option options[] = {
        MR_COMMON_OPTIONS(&a.common),
        {"log-ranks", MR_OPTION_FLAG, &a.log_ranks, NULL, "under mpirun: also print what ranks other than 0 log"}};
    const struct mr_syntax syntax = {
        .name = "train",
        .words = "[CONFIG] [key=value ...]",
        .about = "Trains a model. CONFIG is a file of key=value lines; nanoGPT's config files work unchanged.",
        .example =
            "microrwkv train dataset=stories out_dir=out n_layer=4 n_head=4 n_embd=128 block_size=64 batch_size=12",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 0,
        .max_words = INT_MAX,
        .print_more = print_keys,
        .key_values = true};
    mr_ranks *ranks = NULL;
    int err = mr_ranks_open(&ranks);
    if (!err)
        err = mr_options_parse(&syntax, argc, argv, &words);
    if (mr_ranks_index(ranks))
        mr_set_log(a.log_ranks ? print_log_of_rank : NULL, ranks);
    if (!err)
        err = mr_train_config_defaults(&cfg);
    cfg.ranks = ranks;
    if (!err)
        err = mr_train_settings(&cfg, words.word, words.count);
    if (!err)
        err = run(&a.common, &cfg);
    if (mr_ranks_index(ranks))
        mr_set_log(NULL, NULL);
    err = mr_ranks_close(ranks, err, mr_exit_status);
    mr_train_config_free(&cfg);
    mr_words_free(&words);
    return err;
}
