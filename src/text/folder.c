/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "text/vocab.h"

#define WORLD_VOCABULARY "rwkv_vocab_v20230424.txt"

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool has(const char *folder, const char *name)
{
    char path[4096];
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && mr_is_file(path);
}

/* Whether the folder's tokenizer.json, if there is one, cuts text as GPT-2 does. */
static bool is_gpt2(const char *folder)
{
    char path[4096];
    json_t *json;
    if ((size_t)snprintf(path, sizeof path, "%s/tokenizer.json", folder) >= sizeof path || !mr_is_file(path) ||
        mr_json_load(&json, path))
        return true;
    const json_t *cut = json_object_get(json, "pre_tokenizer"), *form = json_object_get(json, "normalizer");
    const char *type = json_string_value(json_object_get(cut, "type"));
    bool same = type && !strcmp(type, "ByteLevel") && json_is_false(json_object_get(cut, "add_prefix_space")) &&
                !json_is_false(json_object_get(cut, "use_regex")) && (!form || json_is_null(form)) &&
                !json_is_true(json_object_get(json_object_get(json, "model"), "ignore_merges")) &&
                !json_object_get(json_object_get(json, "post_processor"), "single");
    json_decref(json);
    return same;
}

int mr_folder_tokenizer(mr_tokenizer **t, const char *folder)
{
    char spec[4200] = "";
    *t = NULL;
    if (((has(folder, "vocab.json") && has(folder, "merges.txt")) ||
         (has(folder, "encoder.json") && has(folder, "vocab.bpe"))) &&
        is_gpt2(folder))
        snprintf(spec, sizeof spec, "gpt2:%s", folder);
    else if (has(folder, WORLD_VOCABULARY))
        snprintf(spec, sizeof spec, "world:%s/" WORLD_VOCABULARY, folder);
    else if (has(folder, "tokenizer.json"))
        snprintf(spec, sizeof spec, "json:%s/tokenizer.json", folder);
    return *spec ? mr_tokenizer_open(t, spec) : 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int write_text(const char *folder, const char *name, const struct mr_str *text)
{
    struct mr_str path = {0};
    int err = mr_str_printf(&path, "%s/%s", folder, name);
    if (!err)
        err = mr_file_write(path.text, text->text ? text->text : "", text->size);
    mr_str_free(&path);
    return err;
}

/* The object's text with its escapes for everything beyond ASCII, as such files usually are. */
static int write_json(const char *folder, const char *name, const json_t *json)
{
    char *text = json ? json_dumps(json, JSON_ENSURE_ASCII) : NULL;
    struct mr_str file = {.text = text, .size = text ? strlen(text) : 0};
    int err = text ? write_text(folder, name, &file) : mr_fail(MR_ENOMEM, "out of memory: cannot write %s", name);
    free(text);
    return err;
}

static int write_gpt2(const json_t *tokenizer, const char *folder)
{
    const json_t *merges = json_object_get(tokenizer, "merges");
    struct mr_str text = {0};
    size_t i;
    json_t *merge;
    MR_TRY(write_json(folder, "vocab.json", json_object_get(tokenizer, "vocab")));
    int err = mr_str_printf(&text, "#version: 0.2\n");
    json_array_foreach((json_t *)(uintptr_t)merges, i, merge)
        if (!err)
            err = mr_str_printf(&text, "%s\n", json_string_value(merge));
    if (!err)
        err = write_text(folder, "merges.txt", &text);
    mr_str_free(&text);
    return err;
}

static int write_json_tokenizer(const json_t *tokenizer, const char *folder)
{
    json_t *file = json_pack(
        "{ss sn sn sO? sO? sO? sO? s{ss sb sb sb} sO}", "version", "1.0", "truncation", "padding", "added_tokens",
        json_object_get(tokenizer, "added_tokens"), "normalizer", json_object_get(tokenizer, "normalizer"),
        "pre_tokenizer", json_object_get(tokenizer, "pre_tokenizer"), "post_processor",
        json_object_get(tokenizer, "post_processor"), "decoder", "type", "ByteLevel", "add_prefix_space", 0,
        "trim_offsets", 1, "use_regex", 1, "model", json_object_get(tokenizer, "model"));
    int err = write_json(folder, "tokenizer.json", file);
    json_decref(file);
    return err;
}

/* A line per token: id, the bytes as Python writes them, their number. */
static int world_line(struct mr_str *text, size_t id, const struct mr_str *bytes)
{
    MR_TRY(mr_str_printf(text, "%zu b'", id));
    for (size_t i = 0; i < bytes->size; i++) {
        unsigned char c = (unsigned char)bytes->text[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\'' && c != '\\';
        MR_TRY(mr_str_printf(text, plain ? "%c" : "\\x%02x", c));
    }
    return mr_str_printf(text, "' %zu\n", bytes->size);
}

static int write_world(const json_t *tokenizer, const char *folder)
{
    struct mr_str text = {0}, bytes = {0};
    size_t id;
    json_t *spelling;
    int err = 0;
    json_array_foreach(json_object_get(tokenizer, "vocab"), id, spelling) {
        if (err || !json_is_string(spelling))
            continue;
        bytes.size = 0;
        err = mr_unspell(json_string_value(spelling), json_string_length(spelling), &bytes);
        if (!err)
            err = world_line(&text, id, &bytes);
    }
    if (!err)
        err = write_text(folder, WORLD_VOCABULARY, &text);
    mr_str_free(&text);
    mr_str_free(&bytes);
    return err;
}

static const struct {
    const char *kind;
    int (*write)(const json_t *tokenizer, const char *folder);
} writers[] = {{"gpt2", write_gpt2}, {"json", write_json_tokenizer}, {"world", write_world}};

static int find(const json_t *tokenizer)
{
    const char *kind = json_string_value(json_object_get(tokenizer, "kind"));
    for (int i = 0; kind && i < (int)(sizeof writers / sizeof writers[0]); i++)
        if (strcmp(kind, writers[i].kind) == 0)
            return i;
    return -1;
}

bool mr_folder_tokenizer_writes(const mr_stored_tokenizer *tokenizer)
{
    return find(mr_stored_tokenizer_json(tokenizer)) >= 0;
}

int mr_folder_tokenizer_write(const mr_stored_tokenizer *tokenizer, const char *folder)
{
    const json_t *json = mr_stored_tokenizer_json(tokenizer);
    int i = find(json);
    return i < 0 ? 0 : writers[i].write(json, folder);
}
