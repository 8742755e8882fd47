/* SPDX-License-Identifier: GPL-3.0-or-later
 * A model opened for reading and continuing texts. */
#include "infer/lm.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/options.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "text/folder.h"

enum { PIECE = 1 << 16 }; /* bytes of a prompt that are tokenized at a time */

void mr_lm_defaults(struct mr_lm_options *options, size_t size)
{
    const struct mr_lm_options defaults = {.sequences = 1};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

bool mr_lm_is_limited(const mr_lm *lm)
{
    return lm->model->cfg.positions == MR_POSITIONS_LEARNED;
}

static int copy_options(struct mr_lm_options *to, const struct mr_lm_options *from)
{
    mr_lm_defaults(to, sizeof *to);
    MR_TRY(mr_take_options(to, sizeof *to, from, "mr_lm_options"));
    if (to->sequences < 1 || to->sequences > 1 << 16)
        return mr_fail(MR_EINVAL, "the number of sequences must be between 1 and 65536, not %d", to->sequences);
    return 0;
}

static int open_tokenizer(mr_lm *lm, const char *path, const mr_stored_tokenizer *stored)
{
    if (lm->options.tokenizer)
        MR_TRY(mr_tokenizer_open(&lm->tokenizer, lm->options.tokenizer));
    else if (stored)
        MR_TRY(mr_tokenizer_open_stored(&lm->tokenizer, stored));
    else if (mr_is_folder(path))
        MR_TRY(mr_folder_tokenizer(&lm->tokenizer, path));
    if (lm->tokenizer && mr_tokenizer_vocab_size(lm->tokenizer) > (size_t)lm->model->cfg.vocab_size)
        return mr_fail(MR_EINVAL,
                       "the tokenizer has %zu tokens, but model %s knows only %d: use the one it was trained with",
                       mr_tokenizer_vocab_size(lm->tokenizer), path, lm->model->cfg.vocab_size);
    return 0;
}

static int open_memory(mr_lm *lm)
{
    const struct mr_config *cfg = &lm->model->cfg;
    struct mr_workspace_options options;
    if (!mr_states_possible(cfg))
        return 0;
    mr_decoding_options(&options, cfg, lm->options.sequences);
    MR_TRY(mr_states_create(&lm->states, lm->model, lm->options.sequences, false));
    return mr_workspace_create(&lm->ws, lm->model, &options);
}

static struct mr_workspace_options block_options(const struct mr_config *cfg)
{
    return (struct mr_workspace_options){.batch = 1, .time = cfg->block_size, .logits = 1};
}

/* Adds what is needed to what is planned already, within the limit. */
static int plan(mr_lm *lm, const struct mr_config *cfg, const struct mr_memory_need *need)
{
    mr_plan *all;
    size_t bytes = lm->planned;
    MR_TRY(mr_memory_plan(&all, cfg, need, lm->rt));
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++)
        if (kind != MR_PARAMETERS || !lm->planned) /* the model is there only once */
            bytes += mr_plan_bytes(all, kind);
    mr_plan_free(all);
    if (bytes > lm->options.memory_limit)
        return mr_fail(MR_ENOMEM,
                       "%.1f MiB are needed on the device, and the limit is %.1f: hold the model in another precision, "
                       "or open it for fewer sequences",
                       (double)bytes / 0x1p20, (double)lm->options.memory_limit / 0x1p20);
    lm->planned = bytes;
    return 0;
}

void mr_lm_need(struct mr_memory_need *need, const struct mr_config *cfg, int sequences)
{
    if (mr_states_possible(cfg)) {
        need->slots = sequences;
        mr_decoding_options(&need->workspace, cfg, sequences);
    } else {
        need->workspace = block_options(cfg);
    }
}

static int planned(void *context, const struct mr_config *cfg, mr_format_choice *choose, void *chooser)
{
    mr_lm *lm = context;
    struct mr_memory_need need = {.choose = choose, .context = chooser};
    if (!lm->options.memory_limit)
        return 0;
    mr_lm_need(&need, cfg, lm->options.sequences);
    return plan(lm, cfg, &need);
}

int mr_lm_block(mr_lm *lm)
{
    const struct mr_memory_need need = {.workspace = block_options(&lm->model->cfg)};
    if (lm->block)
        return 0;
    if (lm->options.memory_limit && lm->states) /* else it is in the plan */
        MR_TRY(plan(lm, &lm->model->cfg, &need));
    return mr_workspace_create(&lm->block, lm->model, &need.workspace);
}

static int reading(void *context, double part)
{
    return mr_lm_progress(context, part, "reading the weights");
}

/* States, workspace and lists for a model that is there. */
static int open_lists(mr_lm *lm)
{
    MR_TRY(open_memory(lm));
    lm->taken = mr_alloc((size_t)lm->options.sequences, sizeof *lm->taken);
    lm->pieces = mr_alloc((size_t)lm->options.sequences, sizeof *lm->pieces);
    lm->feeds = mr_alloc((size_t)lm->options.sequences, sizeof *lm->feeds);
    lm->ended = mr_alloc((size_t)lm->options.sequences, sizeof(mr_sequence *));
    if (!lm->taken || !lm->pieces || !lm->feeds || !lm->ended)
        return MR_ENOMEM;
    return mr_waiting_open(lm);
}

int mr_lm_open_model(mr_lm **out, mr_model *model, int sequences)
{
    mr_lm *lm = mr_alloc(1, sizeof *lm);
    if (!lm)
        return MR_ENOMEM;
    lm->rt = model->rt;
    lm->model = mr_model_share(model);
    mr_lm_defaults(&lm->options, sizeof lm->options);
    lm->options.sequences = sequences;
    int err = open_lists(lm);
    if (err < 0)
        mr_lm_close(lm);
    else
        *out = lm;
    return err;
}

int mr_lm_open(mr_lm **out, mr_runtime *rt, const char *path, const struct mr_lm_options *options)
{
    mr_stored_tokenizer *stored = NULL;
    struct mr_settings overrides = {0};
    int err;
    mr_lm *lm = mr_alloc(1, sizeof *lm);
    if (!lm)
        return MR_ENOMEM;
    struct mr_opening how = {.planned = planned, .progress = reading, .context = lm};
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(rt));
    lm->rt = rt;
    MR_GO(copy_options(&lm->options, options));
    MR_GO(mr_precision_by_name(lm->options.precision, &how.precision));
    MR_GO(mr_config_words(lm->options.config, &overrides));
    how.lora = lm->options.lora;
    MR_GO(mr_model_open_as(&lm->model, rt, path, &overrides, &how, &stored));
    MR_GO(open_tokenizer(lm, path, stored));
    MR_GO(open_lists(lm));
    *out = lm;
    lm = NULL;
fail:
    mr_settings_free(&overrides);
    mr_stored_tokenizer_free(stored);
    mr_lm_close(lm);
    mr_log_divert(before);
    return err;
}

void mr_lm_close(mr_lm *lm)
{
    if (!lm)
        return;
    free(lm->taken);
    free(lm->pieces);
    free(lm->feeds);
    free(lm->ended);
    mr_waiting_close(lm);
    mr_workspace_free(lm->block);
    mr_workspace_free(lm->ws);
    mr_states_free(lm->states);
    mr_tokenizer_close(lm->tokenizer);
    mr_model_free(lm->model);
    free(lm);
}

/* ---- what it is ------------------------------------------------------------------------------------------------- */

int mr_lm_vocab_size(const mr_lm *lm)
{
    return lm->model->cfg.vocab_size;
}

int32_t mr_lm_end_token(const mr_lm *lm)
{
    return lm->tokenizer ? (int32_t)mr_tokenizer_end(lm->tokenizer) : -1;
}

uint64_t mr_lm_parameters(const mr_lm *lm)
{
    return mr_params_elements(&lm->model->params);
}

const char *mr_lm_family(const mr_lm *lm)
{
    return mr_family_name(lm->model->cfg.family);
}

static int need_tokenizer(const mr_lm *lm)
{
    return lm->tokenizer ? 0 : mr_fail(MR_EINVAL, "this model carries no tokenizer: give one with --tokenizer");
}

int mr_lm_progress(mr_lm *lm, double part, const char *what)
{
    if (lm->options.progress && lm->options.progress(lm->options.context, part))
        return mr_fail(MR_EINTERRUPTED, "stopped while %s", what);
    return 0;
}

int mr_lm_encode(mr_lm *lm, const char *text, size_t size, bool special, bool begins, struct mr_ids *ids)
{
    mr_encoder *e = NULL;
    int err = 0;
    MR_TRY(need_tokenizer(lm));
    size_t starts;
    const uint32_t *start = mr_tokenizer_start(lm->tokenizer, &starts);
    for (size_t i = 0; begins && i < starts; i++)
        MR_TRY(mr_ids_append(ids, start[i]));
    MR_TRY(mr_encoder_open(&e, lm->tokenizer, special));
    for (size_t at = 0, n; !err && at < size; at += n) {
        n = size - at < PIECE ? size - at : PIECE;
        err = mr_encoder_feed(e, text + at, n, ids);
        if (!err && at + n < size)
            err = mr_lm_progress(lm, 0, "tokenizing the prompt");
    }
    if (!err)
        err = mr_encoder_finish(e, ids);
    mr_encoder_close(e);
    return err;
}

int mr_lm_tokenize(mr_lm *lm, const char *text, size_t size, int special, int32_t *ids, size_t capacity, size_t *count)
{
    struct mr_ids list = {0};
    int err = mr_lm_encode(lm, text, size, special != 0, true, &list);
    for (size_t i = 0; !err && i < list.count && i < capacity; i++)
        ids[i] = (int32_t)list.id[i];
    *count = err ? 0 : list.count;
    mr_ids_free(&list);
    return err;
}

/* Said once: the id itself tells what kind it is. */
static void warn_of_no_text(mr_lm *lm, int32_t id)
{
    const struct mr_log_sink *before = mr_log_divert(mr_runtime_log(lm->rt));
    if (!lm->warned)
        mr_log(MR_LOG_WARNING,
               "token %d has no text: the tokenizer knows %zu tokens, and the model's vocabulary has %d ids", id,
               mr_tokenizer_vocab_size(lm->tokenizer), lm->model->cfg.vocab_size);
    lm->warned = true;
    mr_log_divert(before);
}

int mr_lm_token_text(mr_lm *lm, int32_t id, const char **bytes, size_t *size)
{
    MR_TRY(need_tokenizer(lm));
    *bytes = "";
    *size = 0;
    if (id < 0 || id >= lm->model->cfg.vocab_size)
        return mr_fail(MR_EINVAL, "token %d is outside the vocabulary of %d", id, lm->model->cfg.vocab_size);
    if ((size_t)id < mr_tokenizer_vocab_size(lm->tokenizer))
        return mr_tokenizer_decode(lm->tokenizer, (uint32_t)id, bytes, size);
    warn_of_no_text(lm, id); /* the model's vocabulary is padded */
    return 0;
}
