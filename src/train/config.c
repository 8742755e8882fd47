/* SPDX-License-Identifier: GPL-3.0-or-later
 * A configuration file is a list of statements, one a line (or several with ';' between):
 *     key = expression        (expression.h)
 *     import … / from …       passed over
 *     "a string"              passed over (documentation)
 *     # a comment
 * Names in expressions are keys: the value given before, else the default. */
#include "train/config.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/str.h"
#include "model/config.h"
#include "train/expression.h"

enum { LARGEST_FILE = 1 << 20, KEY_SIZE = 64 };

static const struct key {
    const char *name;
    enum { TEXT, INT, BOOL, SEED, REAL } kind;
    size_t offset;
} keys[] = {
    {"out_dir", TEXT, offsetof(struct mr_train_config, out_dir)},
    {"init_from", TEXT, offsetof(struct mr_train_config, init_from)},
    {"dataset", TEXT, offsetof(struct mr_train_config, dataset)},
    {"device", TEXT, offsetof(struct mr_train_config, device)},
    {"tokenizer", TEXT, offsetof(struct mr_train_config, tokenizer)},
    {"eval_interval", INT, offsetof(struct mr_train_config, eval_interval)},
    {"log_interval", INT, offsetof(struct mr_train_config, log_interval)},
    {"eval_iters", INT, offsetof(struct mr_train_config, eval_iters)},
    {"checkpoint_interval", INT, offsetof(struct mr_train_config, checkpoint_interval)},
    {"eval_only", BOOL, offsetof(struct mr_train_config, eval_only)},
    {"always_save_checkpoint", BOOL, offsetof(struct mr_train_config, always_save_checkpoint)},
    {"batch_size", INT, offsetof(struct mr_train_config, batch_size)},
    {"block_size", INT, offsetof(struct mr_train_config, block_size)},
    {"gradient_accumulation_steps", INT, offsetof(struct mr_train_config, gradient_accumulation_steps)},
    {"seed", SEED, offsetof(struct mr_train_config, seed)},
    {"learning_rate", REAL, offsetof(struct mr_train_config, learning_rate)},
    {"min_lr", REAL, offsetof(struct mr_train_config, min_lr)},
    {"weight_decay", REAL, offsetof(struct mr_train_config, weight_decay)},
    {"beta1", REAL, offsetof(struct mr_train_config, beta1)},
    {"beta2", REAL, offsetof(struct mr_train_config, beta2)},
    {"grad_clip", REAL, offsetof(struct mr_train_config, grad_clip)},
    {"max_iters", INT, offsetof(struct mr_train_config, max_iters)},
    {"warmup_iters", INT, offsetof(struct mr_train_config, warmup_iters)},
    {"lr_decay_iters", INT, offsetof(struct mr_train_config, lr_decay_iters)},
    {"decay_lr", BOOL, offsetof(struct mr_train_config, decay_lr)},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

static const struct key *find_key(const char *name)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static bool is_model_key(const char *name)
{
    for (int i = 0; mr_config_key(i); i++)
        if (strcmp(mr_config_key(i), name) == 0)
            return true;
    return false;
}

/* What nanoGPT knows and this program has no use for. */
static bool is_ignored(const char *name)
{
    return strncmp(name, "wandb_", 6) == 0 || strcmp(name, "compile") == 0 || strcmp(name, "dtype") == 0 ||
           strcmp(name, "backend") == 0;
}

static int unknown_key(const char *name)
{
    const char *known[KEYS + 64];
    size_t count = 0;
    for (; count < KEYS; count++)
        known[count] = keys[count].name;
    for (int i = 0; mr_config_key(i) && count < sizeof known / sizeof known[0]; i++)
        known[count++] = mr_config_key(i);
    return mr_fail(MR_EINVAL, "unknown key \"%s\": did you mean %s?", name, mr_nearest(name, known, count));
}

int mr_train_config_defaults(struct mr_train_config *cfg)
{
    *cfg = (struct mr_train_config){
        .out_dir = mr_strdup("out"),
        .init_from = mr_strdup("scratch"),
        .dataset = mr_strdup("openwebtext"),
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
        .grad_clip = 1.0,
        .max_iters = 600000,
        .warmup_iters = 2000,
        .lr_decay_iters = 600000,
        .decay_lr = true,
        .model = json_object(),
        .given = json_object(),
    };
    if (cfg->out_dir && cfg->init_from && cfg->dataset && cfg->model && cfg->given)
        return 0;
    mr_train_config_free(cfg);
    return mr_fail(MR_ENOMEM, "out of memory for the training configuration");
}

void mr_train_config_free(struct mr_train_config *cfg)
{
    free(cfg->out_dir);
    free(cfg->init_from);
    free(cfg->dataset);
    free(cfg->device);
    free(cfg->tokenizer);
    json_decref(cfg->model);
    json_decref(cfg->given);
    *cfg = (struct mr_train_config){0};
}

/* ---- setting keys -------------------------------------------------------------------------------------- */

static int wrong_kind(const struct key *k, const json_t *value)
{
    static const char *const wanted[] = {"a text in quotes", "a whole number", "True or False",
                                         "a whole number from 0 on", "a number"};
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    mr_fail(MR_EINVAL, "%s wants %s, not %s", k->name, wanted[k->kind], text ? text : "this");
    free(text);
    return MR_EINVAL;
}

static int set_text(char **field, const json_t *value)
{
    char *copy = json_is_null(value) ? NULL : mr_strdup(json_string_value(value));
    if (!copy && !json_is_null(value))
        return MR_ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int set_key(struct mr_train_config *cfg, const struct key *k, const json_t *value)
{
    char *field = (char *)cfg + k->offset;
    double x = json_is_integer(value) ? (double)json_integer_value(value) : json_real_value(value);
    switch (k->kind) {
    case TEXT:
        /* None says "none given", which only these two can be */
        if (!json_is_string(value) &&
            !(json_is_null(value) && (strcmp(k->name, "device") == 0 || strcmp(k->name, "tokenizer") == 0)))
            return wrong_kind(k, value);
        return set_text((char **)field, value);
    case INT:
        if (!json_is_number(value) || !(x >= INT_MIN && x <= INT_MAX) || x != (int)x)
            return wrong_kind(k, value);
        *(int *)field = (int)x;
        return 0;
    case BOOL:
        if (!json_is_boolean(value) && !(json_is_integer(value) && (x == 0 || x == 1)))
            return wrong_kind(k, value);
        *(bool *)field = json_is_boolean(value) ? json_is_true(value) : x == 1;
        return 0;
    case SEED:
        if (!json_is_integer(value) || x < 0)
            return wrong_kind(k, value);
        *(uint64_t *)field = (uint64_t)json_integer_value(value);
        return 0;
    case REAL:
        if (!json_is_number(value))
            return wrong_kind(k, value);
        *(double *)field = x;
        return 0;
    }
    return wrong_kind(k, value);
}

/* Model keys are tried on a configuration of their own, so that a wrong value is named here. None is "none". */
static int set_model_key(struct mr_train_config *cfg, const char *name, json_t *value)
{
    struct mr_config trial;
    json_t *none = json_is_null(value) ? json_string("none") : NULL;
    bool known;
    mr_config_defaults(&trial, MR_MICRORWKV);
    int err = mr_config_set(&trial, name, none ? none : value, &known);
    if (!err && json_object_set(cfg->model, name, none ? none : value))
        err = mr_fail(MR_ENOMEM, "out of memory while %s is set", name);
    json_decref(none);
    return err;
}

static int set(struct mr_train_config *cfg, const char *name, json_t *value)
{
    const struct key *k = find_key(name);
    bool of_model = is_model_key(name);
    if (!k && !of_model)
        return unknown_key(name);
    if (k)
        MR_TRY(set_key(cfg, k, value));
    if (of_model)
        MR_TRY(set_model_key(cfg, name, value));
    return json_object_set(cfg->given, name, value) ? mr_fail(MR_ENOMEM, "out of memory while %s is set", name) : 0;
}

int mr_train_config_recall(struct mr_train_config *cfg, json_t *given)
{
    static const char *const anew[] = {"out_dir", "init_from", "device", "eval_only"};
    const char *name;
    json_t *value;
    json_object_foreach(given, name, value) {
        bool skip = json_object_get(cfg->given, name) || (!find_key(name) && !is_model_key(name));
        for (size_t i = 0; i < sizeof anew / sizeof anew[0]; i++)
            skip = skip || strcmp(name, anew[i]) == 0;
        if (!skip)
            MR_TRY(set(cfg, name, value));
    }
    return 0;
}

/* ---- files --------------------------------------------------------------------------------------------- */

struct reader {
    struct mr_expression e;
    struct mr_train_config *cfg;
    json_t *values; /* of all keys by name: what was given or looked up before */
};

/* A key's present value: given before in this file or elsewhere, else the default. */
static const json_t *lookup(void *context, const char *name)
{
    struct reader *r = context;
    json_t *value = json_object_get(r->values, name);
    const struct key *k = find_key(name);
    if (value)
        return value;
    if ((value = json_object_get(r->cfg->given, name)))
        return value;
    if (k) {
        const char *field = (const char *)r->cfg + k->offset;
        value = k->kind == TEXT   ? *(char *const *)field ? json_string(*(char *const *)field) : json_null()
                  : k->kind == INT ? json_integer(*(const int *)field)
                : k->kind == BOOL ? json_boolean(*(const bool *)field)
                : k->kind == SEED ? json_integer((json_int_t) * (const uint64_t *)field)
                                  : json_real(*(const double *)field);
    } else if (is_model_key(name)) {
        struct mr_config defaults;
        mr_config_defaults(&defaults, MR_MICRORWKV);
        json_t *all = mr_config_json(&defaults);
        value = json_incref(json_object_get(all, name));
        json_decref(all);
    }
    return value && !json_object_set_new(r->values, name, value) ? value : NULL;
}

/* To the end of a statement whose value is of no interest. */
static void skip_statement(struct mr_expression *e)
{
    int depth = 0;
    while (e->text[e->at]) {
        char c = e->text[e->at];
        int string = c == '\'' || c == '"' ? mr_expression_skip_string(e) : 0;
        if (string > 0)
            continue;
        if (string < 0)
            return; /* it does not end: at the line's end, or the text's */
        if (c == '#') {
            e->at += strcspn(e->text + e->at, "\n");
            continue;
        }
        depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
        if (depth <= 0 && (c == '\n' || c == ';'))
            return;
        e->line += c == '\n';
        e->at++;
    }
}

static int read_assignment(struct reader *r, const char *name)
{
    struct mr_expression *e = &r->e;
    json_t *value = NULL;
    if (is_ignored(name)) {
        mr_log(MR_LOG_INFO, "%s is ignored: it means nothing here", name);
        skip_statement(e);
        return 0;
    }
    if (!find_key(name) && !is_model_key(name))
        return unknown_key(name);
    int err = mr_expression_read(e, &value);
    if (err < 0)
        return mr_fail_in(err, "%s", name);
    mr_expression_space(e, 0);
    if (e->text[e->at] && e->text[e->at] != '\n' && e->text[e->at] != ';')
        err = mr_fail(MR_EINVAL, "%s: \"%.*s\" cannot be evaluated", name, (int)strcspn(e->text + e->at, "\n"),
                      e->text + e->at);
    if (!err)
        err = set(r->cfg, name, value);
    if (!err && json_object_set(r->values, name, value))
        err = mr_fail(MR_ENOMEM, "out of memory while %s is set", name);
    json_decref(value);
    return err;
}

static int read_statement(struct reader *r)
{
    struct mr_expression *e = &r->e;
    char name[KEY_SIZE];
    int string = mr_expression_skip_string(e);
    if (string)
        return string < 0 ? string : 0;
    const char *p = e->text + e->at;
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    if (n && n < sizeof name) {
        memcpy(name, p, n);
        name[n] = 0;
        if (strcmp(name, "import") == 0 || strcmp(name, "from") == 0) {
            skip_statement(e);
            return 0;
        }
        e->at += n;
        mr_expression_space(e, 0);
        if (e->text[e->at] == '=' && e->text[e->at + 1] != '=') {
            e->at++;
            return read_assignment(r, name);
        }
    }
    return mr_fail(MR_EINVAL, "\"%.*s\" is no assignment", (int)strcspn(p, "\n"), p);
}

static int read_text(struct mr_train_config *cfg, const char *text, const char *path)
{
    struct reader r = {.e = {.text = text, .line = 1, .lookup = lookup}, .cfg = cfg, .values = json_object()};
    int err = r.values ? 0 : mr_fail(MR_ENOMEM, "out of memory while %s is read", path);
    r.e.context = &r;
    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.e.at = 3;
    while (!err) {
        r.e.parentheses = 0;
        mr_expression_space(&r.e, 1);
        if (text[r.e.at] == ';') {
            r.e.at++;
            continue;
        }
        if (!text[r.e.at])
            break;
        err = read_statement(&r);
    }
    if (err)
        mr_fail_in(err, "%s, line %d", path, r.e.line);
    json_decref(r.values);
    return err;
}

int mr_train_config_file(struct mr_train_config *cfg, const char *path)
{
    struct mr_str text = {0};
    int err = mr_file_read(path, LARGEST_FILE, &text);
    if (!err && text.size && strlen(text.text) != text.size)
        err = mr_fail(MR_EINVAL, "%s is no configuration file: it holds zero bytes", path);
    if (!err && text.size)
        err = read_text(cfg, text.text, path);
    mr_str_free(&text);
    return err;
}

/* ---- the command line ---------------------------------------------------------------------------------- */

int mr_train_config_assign(struct mr_train_config *cfg, const char *assignment)
{
    char name[KEY_SIZE];
    const char *equals = strchr(assignment, '=');
    if (strncmp(assignment, "--", 2) == 0)
        assignment += 2;
    if (!equals || equals <= assignment || equals - assignment >= KEY_SIZE)
        return mr_fail(MR_EINVAL, "\"%s\" is not of the form key=value", assignment);
    for (size_t i = 0; i < (size_t)(equals - assignment); i++)
        name[i] = assignment[i] == '-' ? '_' : assignment[i];
    name[equals - assignment] = 0;
    if (is_ignored(name)) {
        mr_log(MR_LOG_INFO, "%s is ignored: it means nothing here", name);
        return 0;
    }
    const struct key *k = find_key(name);
    struct mr_expression e = {.text = equals + 1, .line = 1};
    json_t *value = NULL;
    bool quoted = e.text[0] == '\'' || e.text[0] == '"';
    /* Texts need no quotes here; and what cannot be evaluated is one. */
    if ((k && k->kind == TEXT && !quoted) || mr_expression_read(&e, &value) < 0 || e.text[e.at]) {
        json_decref(value);
        value = json_string(equals + 1);
        if (!value)
            return mr_fail(MR_EINVAL, "the value of %s is not UTF-8", name);
    }
    int err = set(cfg, name, value);
    json_decref(value);
    return err;
}
