/* SPDX-License-Identifier: GPL-3.0-or-later
 * Putting a run together: configuration, data, model, and where it starts. */
#include "train/tuned.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/philox.h"
#include "formats/load.h"
#include "model/lora.h"
#include "model/sizes.h"

static int open_data(mr_trainer *t)
{
    char folder[4096];
    const char *name = t->cfg->dataset;
    snprintf(folder, sizeof folder, mr_is_folder(name) ? "%s" : "data/%s", name);
    if (!mr_is_folder(folder))
        return mr_fail(MR_EFILE, "no data set %s (or data/%s): make one with `microrwkv prepare TEXT --out %s`", name,
                       name, folder);
    MR_TRY(mr_token_data_open(&t->data, folder));
    for (int split = 0; split < MR_SPLITS; split++)
        if (mr_token_data_count(t->data, split) <= (uint64_t)t->cfg->block_size)
            return mr_fail(MR_EFILE,
                           "%s: %s has only %llu tokens, but block_size %d needs at least one more than that: use more "
                           "text or a smaller block_size",
                           folder, split == MR_SPLIT_TRAIN ? "train.bin" : "val.bin",
                           (unsigned long long)mr_token_data_count(t->data, split), t->cfg->block_size);
    return 0;
}

/* max_iters from epochs, and the end of the decay with it. */
static int count_iterations(mr_trainer *t)
{
    struct mr_train_config *cfg = t->cfg;
    double windows = (double)cfg->batch_size * cfg->gradient_accumulation_steps;
    double iterations = ceil(cfg->epochs * (double)mr_trainer_windows(t) / windows);
    if (cfg->epochs == 0 || mr_settings_find(&cfg->given, "max_iters"))
        return 0;
    if (iterations > INT_MAX)
        return mr_fail(MR_EINVAL, "epochs=%g would be %.0f iterations: give max_iters", cfg->epochs, iterations);
    cfg->max_iters = (int)iterations;
    if (!mr_settings_find(&cfg->given, "lr_decay_iters"))
        cfg->lr_decay_iters = cfg->max_iters;
    return 0;
}

/* The data's tokenizer must be the checkpoint's. */
static int check_tokenizer(mr_trainer *t, const mr_stored_tokenizer *saved)
{
    const mr_stored_tokenizer *data = mr_token_data_tokenizer(t->data);
    if (data && saved && !mr_stored_tokenizer_equal(data, saved))
        return mr_fail(
            MR_EFILE,
            "data set %s was made with a different tokenizer than the checkpoint: prepare it again with the same one",
            t->cfg->dataset);
    return mr_stored_tokenizer_copy(&t->tokenizer, data ? data : saved);
}

/* Gradients and moments, 0, where the run trains. */
static int open_optimizer(mr_trainer *t)
{
    if (t->cfg->eval_only)
        return 0;
    MR_TRY(mr_model_check_trainable(&t->model->cfg));
    return mr_trainer_sets_open(t);
}

/* vocab_size of a new model: what was given, else the tokenizer's, else nanoGPT's 50304. */
static int new_model(mr_trainer *t)
{
    struct mr_config cfg;
    int family = MR_MICRORWKV;
    const struct mr_value *name = mr_settings_find(&t->cfg->model, "family");
    if (name && (family = mr_family_by_name(name->text)) < 0)
        return family;
    mr_config_defaults(&cfg, family);
    cfg.block_size = t->cfg->block_size;
    cfg.bias = false; /* as nanoGPT trains */
    uint64_t vocab = mr_token_data_vocab_size(t->data);
    if (vocab)
        cfg.vocab_size = (int)vocab;
    MR_TRY(mr_config_set_all(&cfg, &t->cfg->model));
    mr_config_complete(&cfg, &t->cfg->model);
    if (vocab > (uint64_t)cfg.vocab_size)
        return mr_fail(MR_EINVAL, "vocab_size %d is smaller than the data set's vocabulary of %llu tokens",
                       cfg.vocab_size, (unsigned long long)vocab);
    MR_TRY(mr_model_create_tuned(&t->model, t->rt, &cfg, &t->tuning, NULL, NULL, false));
    MR_TRY(mr_model_init(t->model, t->seed));
    MR_TRY(open_optimizer(t));
    return check_tokenizer(t, NULL);
}

/* What may change on a model that exists. */
static int changes(const mr_trainer *t, struct mr_settings *changed)
{
    static const char *const keys[] = {"dropout", "aux_weight"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct mr_value *value = mr_settings_find(&t->cfg->model, keys[i]);
        if (value && !(i == 0 && mr_trainer_adapts(t)))
            MR_TRY(mr_settings_set(changed, keys[i], value));
    }
    return 0;
}

static bool agree(const struct mr_value *has, const struct mr_value *given)
{
    if (mr_value_is_number(has) && mr_value_is_number(given))
        return mr_value_number(has) == mr_value_number(given);
    if (has->kind == MR_VALUE_BOOL && given->kind == MR_VALUE_INT)
        return has->yes == given->integer;
    return mr_value_equal(has, given);
}

static void warn_of_ignored_key(const char *key, const char *path, const struct mr_value *has)
{
    char text[80];
    if (has->kind == MR_VALUE_TEXT)
        snprintf(text, sizeof text, "\"%s\"", has->text);
    else if (has->kind == MR_VALUE_BOOL)
        snprintf(text, sizeof text, "%s", has->yes ? "true" : "false");
    else
        snprintf(text, sizeof text, "%.17g", mr_value_number(has));
    mr_log(MR_LOG_WARNING, "%s is ignored: the model in %s has %s", key, path, text);
}

/* Keys of the model that were given, but that a model which exists has otherwise. */
static int warn_of_ignored(const mr_trainer *t, const char *path)
{
    const struct mr_settings *given = &t->cfg->model;
    struct mr_settings all = {0};
    int err = mr_config_settings(&t->model->cfg, &all);
    for (size_t i = 0; !err && i < given->count; i++) {
        const char *key = given->list[i].key;
        const struct mr_value *has = mr_settings_find(&all, key);
        if (has && strcmp(key, "block_size") != 0 && !agree(has, &given->list[i].value))
            warn_of_ignored_key(key, path, has);
    }
    mr_settings_free(&all);
    return err;
}

/* The state of the run whose checkpoint is at `path`. With the optimizer's state it continues where it stopped; weights
 * alone begin at iteration 0. */
static int restore_state(mr_trainer *t, const char *path, bool resume)
{
    struct mr_training state;
    bool found;
    int err = 0;
    MR_TRY(mr_model_read_training(path, &state, &found));
    if (resume && !found)
        return mr_fail(MR_EFILE,
                       "%s holds no training state and cannot be resumed: start a new run from it with init_from=%s",
                       path, path);
    if (resume || (found && !state.weights_only))
        err = mr_trainer_resume(t, &state);
    mr_training_free(&state);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}

/* A folder of nanoGPT's holds ckpt.pt; what is saved from then on is ckpt.mrw. */
static void checkpoint_path(const struct mr_train_config *cfg, char path[4096])
{
    char script[4096];
    snprintf(path, 4096, "%s/ckpt.mrw", cfg->out_dir);
    snprintf(script, sizeof script, "%s/ckpt.pt", cfg->out_dir);
    if (!mr_is_file(path) && mr_is_file(script))
        memcpy(path, script, sizeof script);
}

/* The adapter begins anew, or as out_dir's own run left it. */
static int open_adapter(mr_trainer *t, const char *path, bool resume)
{
    char saved[4096];
    if (!resume) {
        char *whole = realpath(path, NULL);
        t->base = whole ? whole : mr_strdup(path);
        return t->base ? mr_lora_init(t->model, t->seed) : MR_ENOMEM;
    }
    checkpoint_path(t->cfg, saved);
    MR_TRY(mr_trainer_read_adapter(t, saved));
    return restore_state(t, saved, true);
}

static int old_model(mr_trainer *t, const char *path, bool resume)
{
    mr_stored_tokenizer *tokenizer = NULL;
    struct mr_settings changed = {0};
    int err;
    MR_GO(changes(t, &changed));
    struct mr_opening how = {.precision = MR_F32, .tuning = &t->tuning};
    if (mr_trainer_adapts(t))
        MR_GO(mr_precision_by_name(t->cfg->precision, &how.precision));
    MR_GO(mr_model_open_as(&t->model, t->rt, path, &changed, &how, &tokenizer));
    MR_GO(warn_of_ignored(t, path));
    MR_GO(check_tokenizer(t, tokenizer));
    MR_GO(open_optimizer(t));
    if (mr_trainer_adapts(t)) {
        t->model->cfg.dropout = 0;
        MR_GO(open_adapter(t, path, resume));
    } else {
        if (!t->cfg->eval_only)
            MR_GO(mr_trainer_read_moments(t, path, &changed));
        MR_GO(restore_state(t, path, resume));
    }
    if (t->model->cfg.positions == MR_POSITIONS_LEARNED && t->cfg->block_size > t->model->cfg.block_size)
        err = mr_fail(MR_EINVAL, "block_size %d is more than the %d positions that %s was trained for",
                      t->cfg->block_size, t->model->cfg.block_size, path);
    else if (mr_token_data_vocab_size(t->data) > (uint64_t)t->model->cfg.vocab_size)
        err = mr_fail(MR_EFILE, "the vocabulary of data set %s has %llu tokens, but that of model %s only %d",
                      t->cfg->dataset, (unsigned long long)mr_token_data_vocab_size(t->data), path,
                      t->model->cfg.vocab_size);
fail:
    mr_settings_free(&changed);
    mr_stored_tokenizer_free(tokenizer);
    return err;
}

/* A resumed run takes the keys that were not given again from its checkpoint. */
static int recall(struct mr_train_config *cfg, char **base)
{
    char path[4096];
    struct mr_training state = {0};
    bool found;
    checkpoint_path(cfg, path);
    MR_TRY(mr_model_read_training(path, &state, &found));
    int err = mr_train_config_recall(cfg, &state.given);
    *base = state.base;
    state.base = NULL;
    mr_training_free(&state);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}

int mr_trainer_open(mr_trainer *t, mr_runtime *rt, struct mr_train_config *cfg)
{
    if (strcmp(cfg->init_from, "resume") == 0)
        MR_TRY(recall(cfg, &t->base));
    t->cfg = cfg;
    t->rt = rt;
    t->seed = cfg->seed;
    t->best_val_loss = INFINITY;
    MR_TRY(mr_train_config_check(cfg));
    MR_TRY(mr_trainer_ranks_open(t));
    MR_TRY(mr_trainer_tuning(t));
    MR_TRY(open_data(t));
    MR_TRY(count_iterations(t));
    if (strcmp(cfg->init_from, "scratch") == 0) {
        MR_TRY(new_model(t));
    } else if (strcmp(cfg->init_from, "resume") == 0) {
        char path[4096];
        checkpoint_path(cfg, path);
        if (mr_trainer_adapts(t) != (t->base != NULL))
            return mr_fail(MR_EINVAL, "%s %s: that needs a new run, with init_from=MODEL", path,
                           t->base ? "was trained as an adapter" : "was not trained as an adapter");
        MR_TRY(old_model(t, t->base ? t->base : path, true));
    } else {
        MR_TRY(old_model(t, cfg->init_from, false));
    }
    t->model_cfg = t->model->cfg;
    mr_train_config_family(cfg, &t->model_cfg);
    mr_token_data_limit(t->data, (uint64_t)t->model->cfg.vocab_size);
    const struct mr_workspace_options options = {.batch = cfg->batch_size,
                                                 .time = cfg->block_size,
                                                 .training = !cfg->eval_only,
                                                 .recompute = cfg->recompute,
                                                 .gradients = cfg->eval_only ? NULL : &t->gradients};
    MR_TRY(mr_workspace_create(&t->ws, t->model, &options));
    t->ws->l2wrap = (float)cfg->l2wrap;
    size_t rows = (size_t)cfg->batch_size * (size_t)cfg->block_size;
    t->tokens = mr_alloc(rows, sizeof *t->tokens);
    t->targets = mr_alloc(rows, sizeof *t->targets);
    t->pieces = mr_alloc((size_t)cfg->batch_size, sizeof *t->pieces);
    if (!t->tokens || !t->targets || !t->pieces)
        return MR_ENOMEM;
    for (int b = 0; b < cfg->batch_size; b++)
        t->pieces[b] = (struct mr_piece){
            .slot = -1, .tokens = t->tokens + (size_t)b * (size_t)cfg->block_size, .count = cfg->block_size};
    return cfg->eval_only ? 0 : mr_trainer_optimizer_open(t);
}

void mr_trainer_close(mr_trainer *t)
{
    mr_trainer_saving_close(t);
    if (t->log)
        fclose(t->log);
    mr_trainer_optimizer_close(t);
    mr_trainer_ranks_close(t);
    free(t->tokens);
    free(t->targets);
    free(t->pieces);
    mr_workspace_free(t->ws);
    mr_param_set_free(&t->moments[1]);
    mr_param_set_free(&t->moments[0]);
    mr_param_set_free(&t->gradients);
    mr_model_free(t->model);
    mr_stored_tokenizer_free(t->tokenizer);
    free(t->base);
    mr_token_data_close(t->data);
}
