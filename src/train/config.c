/* SPDX-License-Identifier: GPL-3.0-or-later
 * A configuration file is a list of statements, one a line (or several with ';' between):
 *     key = expression        (expression.h)
 *     import … / from …       passed over
 *     "a string"              passed over (documentation)
 *     # a comment
 * Names in expressions are keys: the value given before, else the default. */
#include "train/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/str.h"
#include "model/config.h"
#include "train/expression.h"
#include "train/keys.h"

enum { LARGEST_FILE = 1 << 20, KEY_SIZE = 64 };

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
    const char *known[128];
    size_t count = 0, most = sizeof known / sizeof known[0];
    for (int i = 0; mr_train_key(i) && count < most; i++)
        known[count++] = mr_train_key(i)->name;
    for (int i = 0; mr_config_key(i) && count < most; i++)
        known[count++] = mr_config_key(i);
    return mr_fail(MR_EINVAL, "unknown key \"%s\": did you mean %s?", name, mr_nearest(name, known, count));
}

/* ---- setting keys -------------------------------------------------------------------------------------- */

/* Model keys are tried on a configuration of their own, so that a wrong value is named here. None is "none". */
static int set_model_key(struct mr_train_config *cfg, const char *name, const struct mr_value *value)
{
    struct mr_config trial;
    char none[] = "none";
    const struct mr_value text = {.kind = MR_VALUE_TEXT, .text = none};
    bool known;
    mr_config_defaults(&trial, MR_MICRORWKV);
    value = value->kind == MR_VALUE_NONE ? &text : value;
    MR_TRY(mr_config_set(&trial, name, value, &known));
    return mr_settings_set(&cfg->model, name, value);
}

static int set(struct mr_train_config *cfg, const char *name, const struct mr_value *value)
{
    const struct mr_train_key *k = mr_train_key_find(name);
    bool of_model = is_model_key(name);
    if (!k && !of_model)
        return unknown_key(name);
    if (k)
        MR_TRY(mr_train_key_set(cfg, k, value));
    if (of_model)
        MR_TRY(set_model_key(cfg, name, value));
    return mr_settings_set(&cfg->given, name, value);
}

int mr_train_config_recall(struct mr_train_config *cfg, const struct mr_settings *given)
{
    static const char *const anew[] = {"out_dir", "init_from", "device", "eval_only", "overwrite"};
    for (size_t s = 0; s < given->count; s++) {
        const char *name = given->list[s].key;
        bool skip = mr_settings_find(&cfg->given, name) || (!mr_train_key_find(name) && !is_model_key(name));
        for (size_t i = 0; i < sizeof anew / sizeof anew[0]; i++)
            skip = skip || strcmp(name, anew[i]) == 0;
        if (!skip)
            MR_TRY(set(cfg, name, &given->list[s].value));
    }
    return 0;
}

/* As a configuration file would write it, but for quotes. */
static void show_value(char text[40], const struct mr_value *value)
{
    if (value->kind == MR_VALUE_TEXT)
        snprintf(text, 40, "%s", value->text);
    else if (mr_value_is_number(value))
        snprintf(text, 40, "%.6g", mr_value_number(value));
    else
        snprintf(text, 40, "%s", value->kind != MR_VALUE_BOOL ? "None" : value->yes ? "True" : "False");
}

int mr_train_config_describe(int i, struct mr_key_text *text)
{
    struct mr_train_config defaults;
    struct mr_value value = {0};
    int kind = 0, keys = 0;
    for (; mr_train_key(keys); keys++)
        if (keys == i && mr_train_config_defaults(&defaults) == 0) {
            const struct mr_train_key *k = mr_train_key(i);
            text->name = k->name;
            text->meaning = k->meaning;
            mr_train_key_value(&defaults, k, &value);
            mr_train_config_free(&defaults);
            kind = 1;
        }
    for (int m = 0; !kind && mr_config_key(m); m++) {
        if (mr_train_key_find(mr_config_key(m)) || keys++ != i)
            continue;
        text->name = mr_config_key(m);
        text->meaning = mr_config_meaning(m, &value);
        kind = 2;
    }
    show_value(text->value, &value);
    mr_value_free(&value);
    return kind;
}

/* ---- files --------------------------------------------------------------------------------------------- */

struct reader {
    struct mr_expression e;
    struct mr_train_config *cfg;
    struct mr_settings values; /* of all keys by name: what was given or looked up before */
};

static int default_of(const struct mr_train_config *cfg, const char *name, struct mr_value *value)
{
    const struct mr_train_key *k = mr_train_key_find(name);
    struct mr_config defaults;
    struct mr_settings all = {0};
    if (k)
        return mr_train_key_value(cfg, k, value);
    mr_config_defaults(&defaults, MR_MICRORWKV);
    int err = mr_config_settings(&defaults, &all);
    const struct mr_value *found = mr_settings_find(&all, name);
    if (!err)
        err = found ? mr_value_copy(value, found) : MR_EINVAL;
    mr_settings_free(&all);
    return err;
}

/* A key's present value: given before in this file or elsewhere, else the default. */
static const struct mr_value *lookup(void *context, const char *name)
{
    struct reader *r = context;
    const struct mr_value *known = mr_settings_find(&r->values, name);
    struct mr_value value = {0};
    if (!known)
        known = mr_settings_find(&r->cfg->given, name);
    if (known || (!mr_train_key_find(name) && !is_model_key(name)) || default_of(r->cfg, name, &value))
        return known;
    int err = mr_settings_set(&r->values, name, &value);
    mr_value_free(&value);
    return err ? NULL : mr_settings_find(&r->values, name);
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

/* A seed that may be too large for a signed integer, as a string of digits; *size is its length in the text, 0: there
 * is none. */
static int large_seed(const char *name, const char *text, struct mr_value *value, size_t *size)
{
    const struct mr_train_key *k = mr_train_key_find(name);
    size_t n = strspn(text, "0123456789");
    *size = 0;
    if (!k || k->kind != MR_KEY_SEED || n < 19 || !strchr(" \t\r\n;#", text[n]))
        return 0;
    *size = n;
    return mr_value_text(value, text, n);
}

static int read_assignment(struct reader *r, const char *name)
{
    struct mr_expression *e = &r->e;
    struct mr_value value = {0};
    size_t digits;
    if (is_ignored(name)) {
        mr_log(MR_LOG_INFO, "%s is ignored: it has no effect here", name);
        skip_statement(e);
        return 0;
    }
    if (!mr_train_key_find(name) && !is_model_key(name))
        return unknown_key(name);
    mr_expression_space(e, 0);
    MR_TRY(large_seed(name, e->text + e->at, &value, &digits));
    e->at += digits;
    int err = digits ? 0 : mr_expression_read(e, &value);
    if (err < 0) {
        mr_value_free(&value);
        return mr_fail_in(err, "%s", name);
    }
    mr_expression_space(e, 0);
    if (e->text[e->at] && e->text[e->at] != '\n' && e->text[e->at] != ';')
        err = mr_fail(MR_EINVAL, "%s: \"%.*s\" cannot be evaluated", name, (int)strcspn(e->text + e->at, "\n"),
                      e->text + e->at);
    if (!err)
        err = set(r->cfg, name, &value);
    if (!err)
        err = mr_settings_set(&r->values, name, &value);
    mr_value_free(&value);
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
    return mr_fail(MR_EINVAL, "\"%.*s\" is not an assignment", (int)strcspn(p, "\n"), p);
}

static int read_text(struct mr_train_config *cfg, const char *text, const char *path)
{
    struct reader r = {.e = {.text = text, .line = 1, .lookup = lookup}, .cfg = cfg};
    int err = 0;
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
    mr_settings_free(&r.values);
    return err;
}

int mr_train_config_file(struct mr_train_config *cfg, const char *path)
{
    struct mr_str text = {0};
    int err = mr_file_read(path, LARGEST_FILE, &text);
    if (!err && text.size && strlen(text.text) != text.size)
        err = mr_fail(MR_EINVAL, "%s is not a configuration file: it contains zero bytes", path);
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
        mr_log(MR_LOG_INFO, "%s is ignored: it has no effect here", name);
        return 0;
    }
    const struct mr_train_key *k = mr_train_key_find(name);
    struct mr_expression e = {.text = equals + 1, .line = 1};
    struct mr_value value = {0};
    size_t digits;
    bool quoted = e.text[0] == '\'' || e.text[0] == '"';
    MR_TRY(large_seed(name, e.text, &value, &digits));
    /* Texts need no quotes here; and what cannot be evaluated is one. */
    if (!digits && ((k && k->kind == MR_KEY_TEXT && !quoted) || mr_expression_read(&e, &value) < 0 || e.text[e.at])) {
        mr_value_free(&value);
        int err = mr_value_text(&value, equals + 1, strlen(equals + 1));
        if (err)
            return mr_fail_in(err, "the value of %s", name);
    }
    int err = set(cfg, name, &value);
    mr_value_free(&value);
    return err;
}
