/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/added_tokens.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

struct list {
    const char *folder;
    const json_t *vocab;
    json_t *tokens, *by_text; /* by_text: the same tokens */
};

/* *json NULL: there is no such file. */
static int load(const struct list *l, const char *name, json_t **json)
{
    char path[PATH_MAX];
    *json = NULL;
    snprintf(path, sizeof path, "%s/%s", l->folder, name);
    return mr_is_file(path) ? mr_json_load(json, path) : 0;
}

/* One more token; `said` (or NULL) has its flags. A known one stays as it is. */
static int add(struct list *l, const char *text, int64_t id, const json_t *said, bool special)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    if (json_object_get(l->by_text, text))
        return 0;
    json_t *token =
        json_pack("{sI ss sb sb}", "id", (json_int_t)id, "content", text, "normalized", 0, "special", special);
    if (!token)
        return mr_fail(MR_ENOMEM, "out of memory for the added tokens");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_boolean(json_object_get(said, flags[i])))
            mr_json_put(&token, flags[i], json_incref(json_object_get(said, flags[i])));
    int err = mr_json_set(l->by_text, text, json_incref(token));
    int appended = mr_json_append(l->tokens, token);
    return err ? err : appended;
}

static int from_tokenizer(struct list *l)
{
    json_t *json, *token;
    size_t i;
    MR_TRY(load(l, "tokenizer.json", &json));
    int err = 0;
    json_array_foreach(json_object_get(json, "added_tokens"), i, token) {
        const char *text = json_string_value(json_object_get(token, "content"));
        int64_t id;
        if (!err && text && !(err = mr_json_int(token, "id", 0, INT32_MAX, &id)))
            err = add(l, text, id, token, false);
    }
    json_decref(json);
    return err ? mr_fail_in(err, "tokenizer.json") : 0;
}

/* "added_tokens_decoder": {"50256": {"content": "<|endoftext|>", ...}} */
static int from_config(struct list *l)
{
    json_t *json, *token;
    const char *id;
    MR_TRY(load(l, "tokenizer_config.json", &json));
    int err = 0;
    json_object_foreach(json_object_get(json, "added_tokens_decoder"), id, token) {
        const char *text = json_string_value(json_object_get(token, "content"));
        char *end;
        long number = strtol(id, &end, 10);
        if (!err && text && *id && !*end && number >= 0)
            err = add(l, text, number, token, false);
    }
    json_decref(json);
    return err;
}

/* "<|user|>", "</s>", "[PAD]": a text that is to be taken for such a token only on request. */
static bool looks_special(const char *text)
{
    size_t size = strlen(text);
    return size > 2 && ((*text == '<' && text[size - 1] == '>') || (*text == '[' && text[size - 1] == ']'));
}

/* {"<|startoftext|>": 50257} */
static int from_list(struct list *l)
{
    json_t *json, *id;
    const char *text;
    MR_TRY(load(l, "added_tokens.json", &json));
    int err = 0;
    json_object_foreach(json, text, id) {
        if (!err && !json_is_integer(id))
            err = mr_fail(MR_EFILE, "added_tokens.json: the id of \"%.60s\" is not an integer", text);
        if (!err)
            err = add(l, text, json_integer_value(id), NULL, looks_special(text));
    }
    json_decref(json);
    return err;
}

/* A text, or an object with it as "content". */
static int add_named(struct list *l, const json_t *named)
{
    const char *text = json_string_value(json_is_object(named) ? json_object_get(named, "content") : named);
    json_t *known = text ? json_object_get(l->by_text, text) : NULL;
    const json_t *id = text ? json_object_get(l->vocab, text) : NULL;
    if (known)
        return mr_json_set(known, "special", json_true());
    return json_is_integer(id) ? add(l, text, json_integer_value(id), NULL, true) : 0;
}

/* {"eos_token": "<|endoftext|>", "pad_token": {"content": …}, "additional_special_tokens": […]} */
static int from_map(struct list *l)
{
    json_t *json, *value, *item;
    const char *key;
    size_t i;
    MR_TRY(load(l, "special_tokens_map.json", &json));
    int err = 0;
    json_object_foreach(json, key, value) {
        if (!err && !json_is_array(value))
            err = add_named(l, value);
        json_array_foreach(value, i, item)
            err = err ? err : add_named(l, item);
    }
    json_decref(json);
    return err;
}

int mr_added_tokens_read(const char *folder, const json_t *vocab, json_t **tokens)
{
    struct list l = {folder, vocab, json_array(), json_object()};
    int err = l.tokens && l.by_text ? 0 : mr_fail(MR_ENOMEM, "out of memory for the added tokens");
    if (!err)
        err = from_tokenizer(&l);
    if (!err)
        err = from_config(&l);
    if (!err)
        err = from_list(&l);
    if (!err)
        err = from_map(&l);
    json_decref(l.by_text);
    if (err)
        json_decref(l.tokens);
    *tokens = err ? NULL : l.tokens;
    return err;
}
