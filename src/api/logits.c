/* SPDX-License-Identifier: GPL-3.0-or-later
 * The logits of every position of a text, in parallel or one token at a time. */
#include "api/logits.h"

#include <math.h>

#include "base/error.h"
#include "base/alloc.h"
#include "base/options.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "io/safetensors.h"
#include "microrwkv/microrwkv.h"
#include "model/workspace.h"

#define CHUNK 64 /* positions of one call where the model has a state: the head is read once for them */

void mr_logits_defaults(struct mr_logits_options *options, size_t size)
{
    const struct mr_logits_options defaults = {0};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

/* Rows of logits that are not finite end the work: the name of what gave the first. */
static int check_finite(mr_workspace *ws, const float *logits, int rows, int first)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    char place[MR_NAME];
    for (size_t i = 0; i < (size_t)rows * vocab; i++) {
        if (isfinite(logits[i]))
            continue;
        MR_TRY(mr_first_not_finite(ws, place));
        return mr_fail(MR_ENUMERIC, "the logits at position %d are not finite; the first is in %s",
                       first + (int)(i / vocab), place);
    }
    return 0;
}

static int compute_logits(mr_model *model, const int32_t *tokens, int count, bool step, mr_tensor_writer *writer)
{
    const struct mr_config *cfg = &model->cfg;
    bool with_state = mr_states_possible(cfg);
    int chunk = step ? 1 : with_state && count > CHUNK ? CHUNK : count;
    const struct mr_workspace_options options = {.batch = 1, .time = chunk, .logits = chunk};
    mr_workspace *ws = NULL;
    mr_states *states = NULL;
    int err;
    float *logits = mr_alloc((size_t)chunk * (size_t)cfg->vocab_size, sizeof *logits);
    if (!logits)
        return MR_ENOMEM;
    MR_GO(mr_workspace_create(&ws, model, &options));
    if (with_state)
        MR_GO(mr_states_create(&states, model, 1, false));
    for (int at = 0; at < count; at += chunk) {
        int n = count - at < chunk ? count - at : chunk;
        const struct mr_piece piece = {states ? 0 : -1, tokens + at, n, MR_LOGITS_ALL};
        MR_GO(mr_run(ws, states, &piece, 1));
        MR_GO(mr_workspace_logits(ws, 0, n, logits));
        MR_GO(check_finite(ws, logits, n, at));
        MR_GO(mr_tensor_writer_append_f32(writer, logits, (size_t)n * (size_t)cfg->vocab_size));
    }
fail:
    mr_states_free(states);
    mr_workspace_free(ws);
    free(logits);
    return err;
}

int mr_check_positions(const struct mr_config *cfg, const int32_t *tokens, int count)
{
    if (cfg->positions == MR_POSITIONS_LEARNED && count > cfg->block_size)
        return mr_fail(MR_EFILE,
                       "%d tokens are more than the %d positions that this model was trained for (block_size)", count,
                       cfg->block_size);
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= cfg->vocab_size)
            return mr_fail(MR_EFILE, "token %d at position %d is outside the vocabulary of %d", tokens[i], i,
                           cfg->vocab_size);
    return 0;
}

static int write_logits(mr_runtime *rt, const char *path, const struct mr_settings *overrides, const int32_t *tokens,
                        int count, const char *out, const struct mr_logits_options *o)
{
    mr_model *model = NULL;
    mr_tensor_writer *writer = NULL;
    struct mr_opening opening = {.lora = o->lora};
    int err;
    MR_TRY(mr_precision_by_name(o->precision, &opening.precision));
    MR_TRY(mr_model_open_as(&model, rt, path, overrides, &opening, NULL));
    struct mr_file_tensor list = {
        .name = "logits", .dtype = MR_DTYPE_F32, .ndim = 2, .shape = {count, model->cfg.vocab_size}, .shares = -1};
    if (o->step && !mr_states_possible(&model->cfg)) {
        err = mr_fail(MR_EINVAL, "--step: a model in reference mode cannot be fed one token at a time");
        goto fail;
    }
    MR_GO(mr_check_positions(&model->cfg, tokens, count));
    MR_GO(mr_safetensors_begin(&writer, out, &list, 1, NULL));
    MR_GO(compute_logits(model, tokens, count, o->step, writer));
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    mr_model_free(model);
    return err;
}

int mr_logits_run(mr_runtime *rt, const char *model, const int32_t *tokens, int count, const char *out,
                  const struct mr_logits_options *options)
{
    struct mr_logits_options o;
    struct mr_settings overrides = {0};
    int err;
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(rt));
    mr_logits_defaults(&o, sizeof o);
    MR_GO(mr_take_options(&o, sizeof o, options, "mr_logits_options"));
    if (count < 1) {
        err = mr_fail(MR_EINVAL, "no tokens were given");
        goto fail;
    }
    MR_GO(mr_config_words(o.config, &overrides));
    err = write_logits(rt, model, &overrides, tokens, count, out, &o);
fail:
    mr_settings_free(&overrides);
    mr_log_divert(before);
    return err;
}
