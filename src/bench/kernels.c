/* SPDX-License-Identifier: GPL-3.0-or-later
 * Times are those of the device, kernel by kernel; bytes and FLOPs are what each op says of itself. */
#include "bench/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "bench/facts.h"
#include "bench/limits.h"
#include "formats/load.h"

struct rows {
    struct mr_profile_row *list;
    int count;
};

struct use {
    const struct mr_kernel_bench *b;
    mr_runtime *rt;
    struct mr_limits limits;
    char shape[80];
    int (*put)(void *to, json_t *line);
    void *to;
};

/* What the kernel's row holds more than before. */
static struct mr_profile_row difference(const struct mr_profile_row *now, const struct rows *before)
{
    struct mr_profile_row d = *now;
    for (int i = 0; i < before->count; i++)
        if (!strcmp(before->list[i].kernel, now->kernel)) {
            d.calls -= before->list[i].calls;
            d.seconds -= before->list[i].seconds;
            d.bytes -= before->list[i].bytes;
            d.flops -= before->list[i].flops;
        }
    return d;
}

static int put_kernel(const struct use *u, const struct mr_profile_row *row)
{
    const struct mr_device_info *device = mr_runtime_info(u->rt);
    const char *precision =
        u->b->precision == MR_PRECISION_OF_FILE ? "f32" : mr_element_name((enum mr_element)u->b->precision);
    double gflops = 1e-9 * row->flops / row->seconds, bandwidth = 1e-9 * row->bytes / row->seconds;
    json_t *rest =
        json_pack("{ss ss ss sI sf sf sf sf s{sf sf}}", "kernel", row->kernel, "variant", precision, "shape", u->shape,
                  "calls", (json_int_t)row->calls, "us", 1e6 * row->seconds / (double)row->calls, "gb_per_s", bandwidth,
                  "gflops", gflops, "share_of_limit", mr_limits_share(&u->limits, gflops, bandwidth), "limits",
                  "gflops", u->limits.gflops, "gb_per_s", u->limits.gb_per_s);
    return mr_bench_hand_on("kernels", device, rest, u->b->command, u->put, u->to);
}

static int put_differences(const struct use *u, const struct rows *before)
{
    struct rows now = {0};
    int err = mr_profile_rows(u->rt, &now.list, &now.count);
    for (int i = 0; i < now.count && !err; i++) {
        struct mr_profile_row d = difference(&now.list[i], before);
        if (d.calls && d.seconds > 0 && d.kernel[0] != '(') /* which are copies and fills */
            err = put_kernel(u, &d);
    }
    free(now.list);
    return err;
}

/* `count` tokens, `at_once` in a call: once to find kernels, then to be looked at. */
static int look(struct use *u, mr_sequence *s, int64_t count, int64_t at_once)
{
    struct rows before = {0};
    int err = MR_ENOMEM;
    int32_t *tokens = mr_alloc((size_t)at_once, sizeof *tokens);
    if (!tokens)
        return err;
    for (int64_t i = 0; i < at_once; i++)
        tokens[i] = (int32_t)(i * 7 % mr_lm_vocab_size(s->lm));
    MR_GO(mr_sequence_rewind(s));
    MR_GO(mr_sequence_feed(s, tokens, (int)at_once));
    MR_GO(mr_profile_rows(u->rt, &before.list, &before.count));
    MR_GO(mr_sequence_rewind(s));
    for (int64_t done = 0; done < count && !err && !*u->b->stop; done += at_once)
        err = mr_sequence_feed(s, tokens, (int)at_once);
    if (!err)
        err = put_differences(u, &before);
fail:
    free(before.list);
    free(tokens);
    return err;
}

int mr_kernels_measure(mr_runtime *rt, const struct mr_kernel_bench *b, int (*put)(void *to, json_t *line), void *to)
{
    struct use u = {.b = b, .rt = rt, .put = put, .to = to};
    mr_model *model = NULL;
    mr_lm *lm = NULL;
    mr_sequence *s = NULL;
    int err;
    MR_TRY(mr_profile_start(rt));
    MR_TRY(mr_limits_measure(rt, 0.3, &u.limits));
    MR_GO(mr_bench_model_open(&model, rt, b->model, b->precision, 1));
    MR_GO(mr_lm_open_model(&lm, model, 1));
    MR_GO(mr_sequence_open(&s, lm));
    snprintf(u.shape, sizeof u.shape, "%.50s, one token", b->model->label);
    MR_GO(look(&u, s, b->steps, 1));
    snprintf(u.shape, sizeof u.shape, "%.50s, %lld tokens", b->model->label, (long long)b->prompt);
    err = look(&u, s, b->prompt, b->prompt);
fail:
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_model_free(model);
    return err;
}
