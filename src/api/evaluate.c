/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "infer/evaluate.h"

#include <math.h>
#include <string.h>

#include "base/options.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "microrwkv/microrwkv.h"

void mr_evaluate_defaults(struct mr_evaluate_options *options, size_t size)
{
    const struct mr_evaluate_options defaults = {.split = "val", .batch = 1, .seed = 1337};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

struct observer {
    struct mr_evaluate_options options;
    volatile sig_atomic_t stop;
};

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    struct observer *a = context;
    if (a->options.progress && a->options.progress(a->options.context, (double)done / (double)all))
        a->stop = 1;
}

static int check_options(const struct mr_evaluate_options *o)
{
    if (!o->split || (strcmp(o->split, "train") != 0 && strcmp(o->split, "val") != 0))
        return mr_fail(MR_EINVAL, "the split is train or val, not '%s'", o->split ? o->split : "");
    if (o->iters < 0 || o->batch < 1 || o->block < 0)
        return mr_fail(MR_EINVAL, "iters, batch and block must be positive");
    return 0;
}

static int check_tokenizer(mr_token_data *data, const mr_stored_tokenizer *stored, const char *folder)
{
    const mr_stored_tokenizer *made_with = mr_token_data_tokenizer(data);
    if (made_with && stored && !mr_stored_tokenizer_equal(made_with, stored))
        return mr_fail(MR_EFILE, "the data set %s was made with another tokenizer than the model's", folder);
    return 0;
}

static int evaluate(mr_runtime *rt, const char *path, const struct mr_settings *overrides, const char *folder,
                    struct observer *a, struct mr_evaluated *result)
{
    const struct mr_evaluate_options *o = &a->options;
    mr_model *model = NULL;
    mr_token_data *data = NULL;
    mr_stored_tokenizer *stored = NULL;
    struct mr_opening opening = {.lora = o->lora};
    int err;
    MR_GO(mr_precision_by_name(o->precision, &opening.precision));
    MR_GO(mr_token_data_open(&data, folder));
    MR_GO(mr_model_open_as(&model, rt, path, overrides, &opening, &stored));
    MR_GO(check_tokenizer(data, stored, folder));
    MR_GO(mr_token_data_find_bytes(data, stored));
    struct mr_evaluation how = {.split = strcmp(o->split, "train") == 0 ? MR_SPLIT_TRAIN : MR_SPLIT_VAL,
                                .iters = o->iters,
                                .seed = o->seed,
                                .stream = o->stream,
                                .block = o->block ? o->block : model->cfg.block_size,
                                .batch = o->stream ? 1 : o->batch,
                                .progress = on_progress,
                                .context = a,
                                .stop = &a->stop};
    err = mr_evaluate(model, data, &how, result);
fail:
    mr_stored_tokenizer_free(stored);
    mr_token_data_close(data);
    mr_model_free(model);
    return err;
}

int mr_evaluate_run(mr_runtime *rt, const char *model, const char *data, const struct mr_evaluate_options *options,
                    struct mr_evaluate_result *result)
{
    struct observer a = {.stop = 0};
    struct mr_evaluated e = {0};
    struct mr_settings overrides = {0};
    int err;
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(rt));
    mr_evaluate_defaults(&a.options, sizeof a.options);
    MR_GO(mr_take_options(&a.options, sizeof a.options, options, "mr_evaluate_options"));
    MR_GO(check_options(&a.options));
    MR_GO(mr_config_words(a.options.config, &overrides));
    MR_GO(evaluate(rt, model, &overrides, data, &a, &e));
    const struct mr_evaluate_result r = {sizeof r, e.loss, exp(e.loss), e.bits_per_byte, e.tokens};
    MR_GO(mr_give_result(result, &r, sizeof r, "mr_evaluate_result"));
    if (!isfinite(e.loss))
        err = mr_fail(MR_ENUMERIC, "the loss of %s is %g: its weights are damaged, or its training diverged", model,
                      e.loss);
fail:
    mr_settings_free(&overrides);
    mr_log_divert(before);
    return err;
}
