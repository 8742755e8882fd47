/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/prepare.h"

#include "base/options.h"
#include "base/error.h"
#include "microrwkv/microrwkv.h"

void mr_prepare_defaults(struct mr_prepare_options *options, size_t size)
{
    const struct mr_prepare_options defaults = {.tokenizer = "byte", .val_fraction = 0.1, .seed = 1};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

struct observer {
    struct mr_prepare_options options;
    volatile sig_atomic_t stop;
};

static void on_progress(void *context, const char *stage, uint64_t done, uint64_t total)
{
    struct observer *a = context;
    double part = total && done < total ? (double)done / (double)total : total ? 1 : 0;
    (void)stage;
    if (a->options.progress && a->options.progress(a->options.context, part))
        a->stop = 1;
}

int mr_prepare_run(const char *const *inputs, const char *out, const struct mr_prepare_options *options)
{
    struct observer a = {.stop = 0};
    struct mr_prepared result;
    int count = 0;
    mr_prepare_defaults(&a.options, sizeof a.options);
    MR_TRY(mr_take_options(&a.options, sizeof a.options, options, "mr_prepare_options"));
    while (inputs && inputs[count])
        count++;
    if (!out || (!count && !a.options.stories))
        return mr_fail(MR_EINVAL, "nothing to prepare: name inputs, or stories, and the folder to write");
    const struct mr_prepare p = {.inputs = inputs,
                                 .input_count = count,
                                 .stories = a.options.stories,
                                 .seed = a.options.seed,
                                 .tokenizer = a.options.train_bpe ? NULL : a.options.tokenizer,
                                 .train_bpe = a.options.train_bpe,
                                 .val_fraction = a.options.val_fraction,
                                 .out = out,
                                 .progress = on_progress,
                                 .context = &a,
                                 .stop = &a.stop};
    return mr_prepare(&p, &result);
}
