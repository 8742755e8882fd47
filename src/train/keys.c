/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/keys.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/layer.h"

#define FIELD(name) offsetof(struct mr_train_config, name)

static const struct mr_train_key keys[] = {
    {"out_dir", MR_KEY_TEXT, FIELD(out_dir), "folder for checkpoints and the log"},
    {"init_from", MR_KEY_TEXT, FIELD(init_from), "scratch (a new model), resume (out_dir's own run), or any MODEL"},
    {"overwrite", MR_KEY_BOOL, FIELD(overwrite),
     "start a new run where out_dir holds one; the old one moves to OUT_DIR.old"},
    {"dataset", MR_KEY_TEXT, FIELD(dataset), "a folder that prepare wrote, or NAME for data/NAME"},
    {"device", MR_KEY_TEXT, FIELD(device), "an index, part of a name, gpu or cpu"},
    {"tokenizer", MR_KEY_TEXT, FIELD(tokenizer), "ignored: the data set carries its tokenizer"},
    {"eval_interval", MR_KEY_INT, FIELD(eval_interval), "iterations between evaluations"},
    {"eval_iters", MR_KEY_INT, FIELD(eval_iters), "batches of each split per evaluation"},
    {"eval_only", MR_KEY_BOOL, FIELD(eval_only), "evaluate once and exit, writing nothing"},
    {"log_interval", MR_KEY_INT, FIELD(log_interval), "iterations between lines of log.jsonl"},
    {"checkpoint_interval", MR_KEY_INT, FIELD(checkpoint_interval), "iterations between saves (0: eval_interval)"},
    {"keep_checkpoints", MR_KEY_INT, FIELD(keep_checkpoints), "how many saves to keep as ckpt-ITERATION.mrw as well"},
    {"always_save_checkpoint", MR_KEY_BOOL, FIELD(always_save_checkpoint),
     "accepted for nanoGPT's files: ckpt.mrw is always saved, best.mrw when the val loss improves"},
    {"on_nan", MR_KEY_TEXT, FIELD(on_nan),
     "when the loss is not finite: stop, skip that update, or rollback to the last save"},
    {"train_only", MR_KEY_TEXT, FIELD(train_only),
     "patterns of names, *.att.*,head.weight: nothing else is trained (None: all)"},
    {"adapter", MR_KEY_TEXT, FIELD(adapter),
     "the model stays: lora trains an adapter (dropout is its own), state the first states"},
    {"rank", MR_KEY_INT, FIELD(rank), "the adapter's rank"},
    {"alpha", MR_KEY_REAL, FIELD(alpha), "alpha / rank is what the adapter is multiplied by"},
    {"targets", MR_KEY_TEXT, FIELD(targets), "the adapter's layers, key,att.value,ffn.* (None: every linear layer)"},
    {"precision", MR_KEY_TEXT, FIELD(precision),
     "how an adapter's model is held: f32, f16, q8_0, q4_0, … (None: as in its file)"},
    {"batch_size", MR_KEY_INT, FIELD(batch_size), "sequences in a micro-batch"},
    {"block_size", MR_KEY_INT, FIELD(block_size), "tokens in each sequence"},
    {"gradient_accumulation_steps", MR_KEY_INT, FIELD(gradient_accumulation_steps), "micro-batches per iteration"},
    {"sampling", MR_KEY_TEXT, FIELD(sampling),
     "random windows of the data, or epoch: every window once before any comes again"},
    {"epochs", MR_KEY_REAL, FIELD(epochs),
     "how often the data are gone through, unless max_iters is given (0: not used)"},
    {"patience", MR_KEY_INT, FIELD(patience), "evaluations without a lower val loss that end the run (0: never)"},
    {"recompute", MR_KEY_BOOL, FIELD(recompute),
     "run each block's forward again for its backward: less memory, the same numbers, up to a third more time"},
    {"seed", MR_KEY_SEED, FIELD(seed), "seed of weights, batches and dropout, below 2^64"},
    {"max_iters", MR_KEY_INT, FIELD(max_iters), "total number of iterations"},
    {"learning_rate", MR_KEY_REAL, FIELD(learning_rate), "learning rate after the warmup"},
    {"decay_lr", MR_KEY_BOOL, FIELD(decay_lr), "warm up and decay the learning rate (False: constant)"},
    {"warmup_iters", MR_KEY_INT, FIELD(warmup_iters), "iterations of linear warmup"},
    {"lr_decay_iters", MR_KEY_INT, FIELD(lr_decay_iters), "iteration at which the decay reaches min_lr"},
    {"min_lr", MR_KEY_REAL, FIELD(min_lr), "learning rate after the decay"},
    {"weight_decay", MR_KEY_REAL, FIELD(weight_decay), "weight decay, on matrices only"},
    {"beta1", MR_KEY_REAL, FIELD(beta1), "AdamW's beta1, the decay of the first moment"},
    {"beta2", MR_KEY_REAL, FIELD(beta2),
     "AdamW's beta2, the decay of the second moment (rwkv4 to rwkv7: 0.99 unless given)"},
    {"adam_eps", MR_KEY_REAL, FIELD(adam_eps), "AdamW's epsilon (rwkv7: 1e-18 unless given)"},
    {"l2wrap", MR_KEY_REAL, FIELD(l2wrap),
     "weight of the square of the largest logits (rwkv4 to rwkv7: 1e-4 unless given)"},
    {"grad_clip", MR_KEY_REAL, FIELD(grad_clip), "largest gradient norm (0: no clipping)"},
    {"zero", MR_KEY_INT, FIELD(zero), "under mpirun: 1 divides AdamW's moments among the ranks, 0 gives all to each"},
    {"comm", MR_KEY_TEXT, FIELD(comm), "under mpirun: how gradients travel, f32 or bf16"},
    {"rank_timeout", MR_KEY_INT, FIELD(rank_timeout), "under mpirun: seconds a rank waits for another before all end"},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

const struct mr_train_key *mr_train_key(int i)
{
    return i >= 0 && i < KEYS ? &keys[i] : NULL;
}

const struct mr_train_key *mr_train_key_find(const char *name)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* ---- defaults and checks ---------------------------------------------------------------------------------- */

int mr_train_config_defaults(struct mr_train_config *cfg)
{
    *cfg = (struct mr_train_config){
        .out_dir = mr_strdup("out"),
        .init_from = mr_strdup("scratch"),
        .dataset = mr_strdup("openwebtext"),
        .on_nan = mr_strdup("stop"),
        .sampling = mr_strdup("random"),
        .comm = mr_strdup("f32"),
        .zero = 1,
        .rank_timeout = 600,
        .eval_interval = 2000,
        .log_interval = 1,
        .eval_iters = 200,
        .always_save_checkpoint = true,
        .batch_size = 12,
        .block_size = 1024,
        .gradient_accumulation_steps = 5 * 8,
        .seed = 1337,
        .learning_rate = 6e-4,
        .min_lr = 6e-5,
        .weight_decay = 1e-1,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .adam_eps = 1e-8,
        .grad_clip = 1.0,
        .max_iters = 600000,
        .warmup_iters = 2000,
        .lr_decay_iters = 600000,
        .decay_lr = true,
        .rank = 32,
        .alpha = 32,
    };
    if (cfg->out_dir && cfg->init_from && cfg->dataset && cfg->on_nan && cfg->sampling && cfg->comm)
        return 0;
    mr_train_config_free(cfg);
    return mr_fail(MR_ENOMEM, "out of memory for the training configuration");
}

void mr_train_config_family(struct mr_train_config *cfg, const struct mr_config *model)
{
    const struct mr_training_defaults *of = &mr_family(model)->training;
    const struct {
        const char *key;
        double *field, value;
    } all[] = {
        {"beta2", &cfg->beta2, of->beta2}, {"adam_eps", &cfg->adam_eps, of->eps}, {"l2wrap", &cfg->l2wrap, of->l2wrap}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value > 0 && !mr_settings_find(&cfg->given, all[i].key))
            *all[i].field = all[i].value;
}

void mr_train_config_free(struct mr_train_config *cfg)
{
    for (int i = 0; i < KEYS; i++)
        if (keys[i].kind == MR_KEY_TEXT)
            free(*(char **)((char *)cfg + keys[i].offset));
    mr_settings_free(&cfg->model);
    mr_settings_free(&cfg->given);
    *cfg = (struct mr_train_config){0};
}

/* What matters to several ranks. */
static int check_ranks(const struct mr_train_config *cfg)
{
    int ranks = mr_ranks_count(cfg->ranks), steps = cfg->gradient_accumulation_steps;
    if (cfg->zero != 0 && cfg->zero != 1)
        return mr_fail(MR_EINVAL, "zero must be 0 or 1, not %d", cfg->zero);
    if (strcmp(cfg->comm, "f32") != 0 && strcmp(cfg->comm, "bf16") != 0)
        return mr_fail(MR_EINVAL, "comm must be f32 or bf16, not '%s'", cfg->comm);
    if (!cfg->eval_only && steps % ranks)
        return mr_fail(MR_EINVAL,
                       "gradient_accumulation_steps is %d: %d ranks cannot divide so many micro-batches evenly; "
                       "give a multiple of %d",
                       steps, ranks, ranks);
    return 0;
}

int mr_train_config_check(const struct mr_train_config *cfg)
{
    const struct {
        const char *name;
        int value, low;
    } ints[] = {{"batch_size", cfg->batch_size, 1},
                {"block_size", cfg->block_size, 1},
                {"eval_iters", cfg->eval_iters, 1},
                {"gradient_accumulation_steps", cfg->gradient_accumulation_steps, 1},
                {"max_iters", cfg->max_iters, 0},
                {"eval_interval", cfg->eval_interval, 1},
                {"log_interval", cfg->log_interval, 1},
                {"checkpoint_interval", cfg->checkpoint_interval, 0},
                {"warmup_iters", cfg->warmup_iters, 0},
                {"lr_decay_iters", cfg->lr_decay_iters, 0},
                {"keep_checkpoints", cfg->keep_checkpoints, 0},
                {"patience", cfg->patience, 0},
                {"rank_timeout", cfg->rank_timeout, 1}};
    const struct {
        const char *name;
        double value;
    } reals[] = {{"learning_rate", cfg->learning_rate},
                 {"min_lr", cfg->min_lr},
                 {"weight_decay", cfg->weight_decay},
                 {"adam_eps", cfg->adam_eps},
                 {"l2wrap", cfg->l2wrap},
                 {"grad_clip", cfg->grad_clip},
                 {"epochs", cfg->epochs}};
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        if (ints[i].value < ints[i].low)
            return mr_fail(MR_EINVAL, "%s is %d: it must be at least %d", ints[i].name, ints[i].value, ints[i].low);
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        if (!(reals[i].value >= 0 && isfinite(reals[i].value)))
            return mr_fail(MR_EINVAL, "%s is %g: it must be a finite number, at least 0", reals[i].name,
                           reals[i].value);
    if (!(cfg->beta1 >= 0 && cfg->beta1 < 1 && cfg->beta2 >= 0 && cfg->beta2 < 1))
        return mr_fail(MR_EINVAL, "beta1 %g and beta2 %g must be in [0, 1)", cfg->beta1, cfg->beta2);
    MR_TRY(check_ranks(cfg));
    if (strcmp(cfg->on_nan, "stop") != 0 && strcmp(cfg->on_nan, "skip") != 0 && strcmp(cfg->on_nan, "rollback") != 0)
        return mr_fail(MR_EINVAL, "on_nan must be stop, skip or rollback, not '%s'", cfg->on_nan);
    if (strcmp(cfg->sampling, "random") != 0 && strcmp(cfg->sampling, "epoch") != 0)
        return mr_fail(MR_EINVAL, "sampling must be random or epoch, not '%s'", cfg->sampling);
    return 0;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

/* As a configuration file would write it. */
static void show(char *text, size_t size, const struct mr_value *value)
{
    switch (value->kind) {
    case MR_VALUE_TEXT:
        snprintf(text, size, "\"%s\"", value->text);
        break;
    case MR_VALUE_BOOL:
        snprintf(text, size, "%s", value->yes ? "True" : "False");
        break;
    case MR_VALUE_INT:
        snprintf(text, size, "%lld", (long long)value->integer);
        break;
    case MR_VALUE_REAL:
        snprintf(text, size, "%.12g", value->real);
        break;
    default:
        snprintf(text, size, "None");
    }
}

static int wrong_kind(const struct mr_train_key *k, const struct mr_value *value)
{
    static const char *const wanted[] = {"text in quotes", "a whole number", "True or False",
                                         "a whole number from 0 to 2^64-1", "a number"};
    char text[200];
    show(text, sizeof text, value);
    return mr_fail(MR_EINVAL, "%s must be %s, not %s", k->name, wanted[k->kind], text);
}

/* None says "none given". */
static bool may_be_none(const struct mr_train_key *k)
{
    static const char *const names[] = {"device", "tokenizer", "train_only", "adapter", "targets", "precision"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        found = found || strcmp(k->name, names[i]) == 0;
    return found;
}

static int set_text(char **field, const struct mr_value *value)
{
    char *copy = value->kind == MR_VALUE_NONE ? NULL : mr_strdup(value->text);
    if (!copy && value->kind != MR_VALUE_NONE)
        return MR_ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int set_seed(uint64_t *field, const struct mr_train_key *k, const struct mr_value *value)
{
    if (value->kind == MR_VALUE_TEXT) {
        const char *digits = value->text;
        char *end;
        errno = 0;
        unsigned long long seed = strtoull(digits, &end, 10);
        if (*digits < '0' || *digits > '9' || *end || errno)
            return wrong_kind(k, value);
        *field = seed;
        return 0;
    }
    if (value->kind != MR_VALUE_INT || value->integer < 0)
        return wrong_kind(k, value);
    *field = (uint64_t)value->integer;
    return 0;
}

int mr_train_key_set(struct mr_train_config *cfg, const struct mr_train_key *k, const struct mr_value *value)
{
    char *field = (char *)cfg + k->offset;
    double x = mr_value_number(value);
    bool none = value->kind == MR_VALUE_NONE;
    switch (k->kind) {
    case MR_KEY_TEXT:
        if (value->kind != MR_VALUE_TEXT && !(none && may_be_none(k)))
            return wrong_kind(k, value);
        return set_text((char **)field, value);
    case MR_KEY_INT:
        if (!mr_value_is_number(value) || !(x >= INT_MIN && x <= INT_MAX) || x != (int)x)
            return wrong_kind(k, value);
        *(int *)field = (int)x;
        return 0;
    case MR_KEY_BOOL:
        if (value->kind != MR_VALUE_BOOL && !(value->kind == MR_VALUE_INT && (x == 0 || x == 1)))
            return wrong_kind(k, value);
        *(bool *)field = value->kind == MR_VALUE_BOOL ? value->yes : x == 1;
        return 0;
    case MR_KEY_SEED:
        return set_seed((uint64_t *)field, k, value);
    case MR_KEY_REAL:
        if (!mr_value_is_number(value))
            return wrong_kind(k, value);
        *(double *)field = x;
        return 0;
    }
    return wrong_kind(k, value);
}

int mr_train_key_value(const struct mr_train_config *cfg, const struct mr_train_key *k, struct mr_value *value)
{
    const char *field = (const char *)cfg + k->offset, *text;
    char digits[24];
    *value = (struct mr_value){0};
    switch (k->kind) {
    case MR_KEY_TEXT:
        text = *(char *const *)field;
        return text ? mr_value_text(value, text, strlen(text)) : 0;
    case MR_KEY_INT:
        *value = (struct mr_value){.kind = MR_VALUE_INT, .integer = *(const int *)field};
        return 0;
    case MR_KEY_BOOL:
        *value = (struct mr_value){.kind = MR_VALUE_BOOL, .yes = *(const bool *)field};
        return 0;
    case MR_KEY_REAL:
        *value = (struct mr_value){.kind = MR_VALUE_REAL, .real = *(const double *)field};
        return 0;
    case MR_KEY_SEED:
        if (*(const uint64_t *)field > INT64_MAX) {
            snprintf(digits, sizeof digits, "%llu", (unsigned long long)*(const uint64_t *)field);
            return mr_value_text(value, digits, strlen(digits));
        }
        *value = (struct mr_value){.kind = MR_VALUE_INT, .integer = (int64_t) * (const uint64_t *)field};
        return 0;
    }
    return 0;
}
