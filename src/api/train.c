/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/train.h"

#include <string.h>

#include "base/options.h"
#include "microrwkv/microrwkv.h"

void mr_train_defaults(struct mr_train_options *options, size_t size)
{
    const struct mr_train_options defaults = {0};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

int mr_train_settings(struct mr_train_config *cfg, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (strchr(words[i], '='))
            MR_TRY(mr_train_config_assign(cfg, words[i]));
        else if (i == 0)
            MR_TRY(mr_train_config_file(cfg, words[i]));
        else
            return mr_fail(MR_EINVAL, "'%s' is not of the form key=value: one CONFIG may come first, then assignments",
                           words[i]);
    }
    return 0;
}

struct observer {
    struct mr_train_options options;
    volatile sig_atomic_t stop;
};

static void ask(struct observer *a)
{
    if (a->options.stop && a->options.stop(a->options.context))
        a->stop = 1;
}

static void on_start(void *context, const struct mr_config *model, size_t parameters, size_t trained, int64_t iter)
{
    struct observer *a = context;
    (void)trained;
    if (a->options.start)
        a->options.start(a->options.context, mr_family_name(model->family), parameters, iter);
}

static void on_iteration(void *context, int64_t iter, float loss, double lr, float grad_norm, double ms,
                         double tokens_per_s, double seconds_left)
{
    struct observer *a = context;
    (void)tokens_per_s, (void)seconds_left;
    if (a->options.iteration)
        a->options.iteration(a->options.context, iter, (double)loss, lr, (double)grad_norm, ms);
}

static void on_evaluation(void *context, int64_t iter, double train_loss, double val_loss, bool best)
{
    struct observer *a = context;
    if (a->options.evaluation)
        a->options.evaluation(a->options.context, iter, train_loss, val_loss, best);
}

static void on_evaluating(void *context, int done, int all)
{
    (void)done, (void)all;
    ask(context);
}

static void on_saved(void *context, const char *path, int64_t iter)
{
    struct observer *a = context;
    if (a->options.saved)
        a->options.saved(a->options.context, path, iter);
}

static void on_iterated(void *context)
{
    ask(context);
}

int mr_train_run(mr_runtime *rt, const char *const *settings, const struct mr_train_options *options)
{
    struct observer a = {.stop = 0};
    struct mr_train_events events = {&a, on_start, on_iteration, on_evaluation, on_evaluating, on_saved, on_iterated};
    struct mr_train_config cfg = {0};
    int count = 0, err;
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(rt));
    mr_train_defaults(&a.options, sizeof a.options);
    MR_GO(mr_take_options(&a.options, sizeof a.options, options, "mr_train_options"));
    while (settings && settings[count])
        count++;
    MR_GO(mr_train_config_defaults(&cfg));
    MR_GO(mr_train_settings(&cfg, settings, count));
    err = mr_train(rt, &cfg, &events, &a.stop);
fail:
    mr_train_config_free(&cfg);
    mr_log_divert(before);
    return err;
}
