/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tokenizers in GGUF files. "gpt2": byte-level BPE, its tokens spelled as in vocab.json. "rwkv": the World vocabulary,
 * bytes that do not print escaped. Ids without a token are there as "[PADi]". */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "formats/gguf.h"
#include "model/layer.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum token_type { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

#define G "tokenizer.ggml."

/* ---- reading: gpt2 ----------------------------------------------------------------------------------------------- */

static int type_of(const json_t *types, size_t i)
{
    const json_t *type = json_array_get(types, i);
    return json_is_integer(type) ? (int)json_integer_value(type) : NORMAL;
}

/* Tokens that texts have in them as they are, beside those that merges make. */
static int add_token(json_t *added, const char *text, size_t id, int type)
{
    return mr_json_append(added, json_pack("{sI ss sb sb}", "id", (json_int_t)id, "content", text, "special",
                                           type == CONTROL, "normalized", 0));
}

static int bpe_tokens(const json_t *tokens, const json_t *types, json_t *vocab, json_t *added)
{
    size_t i;
    json_t *token;
    json_array_foreach((json_t *)(uintptr_t)tokens, i, token) {
        const char *text = json_string_value(token);
        int type = type_of(types, i);
        if (!text || !*text || type == UNUSED)
            continue;
        if ((type == CONTROL && strcmp(text, MR_END_OF_TEXT)) || type == USER_DEFINED)
            MR_TRY(add_token(added, text, i, type));
        else
            MR_TRY(mr_json_set(vocab, text, json_integer((json_int_t)i)));
    }
    return 0;
}

static int read_bpe(const json_t *keys, const json_t *tokens, json_t **tokenizer)
{
    const json_t *types = json_object_get(keys, G "token_type");
    json_t *merges = json_object_get(keys, G "merges"), *vocab = json_object(), *added = json_array();
    const json_t *end;
    int err;
    MR_GO(bpe_tokens(tokens, types, vocab, added));
    if (!json_object_size(vocab) || !json_is_array(merges))
        goto fail; /* names of ids alone */
    if (!json_array_size(added)) {
        *tokenizer = json_pack("{ss sO sO}", "kind", "gpt2", "vocab", vocab, "merges", merges);
    } else {
        if ((end = json_object_get(vocab, MR_END_OF_TEXT)))
            MR_GO(add_token(added, MR_END_OF_TEXT, (size_t)json_integer_value(end), CONTROL));
        *tokenizer = json_pack("{ss s{ss sb sb} sO s{ss sO sO}}", "kind", "json", "pre_tokenizer", "type", "ByteLevel",
                               "add_prefix_space", 0, "use_regex", 1, "added_tokens", added, "model", "type", "BPE",
                               "vocab", vocab, "merges", merges);
    }
    err = *tokenizer ? 0 : mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
fail:
    json_decref(vocab);
    json_decref(added);
    return err;
}

/* ---- reading: rwkv ----------------------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int unescape(const char *text, size_t size, struct mr_str *bytes)
{
    bytes->size = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\\' && i + 1 < size) {
            c = text[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
            if (c == 'x' && i + 2 < size && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
                c = (char)(16 * digit(text[i + 1]) + digit(text[i + 2]));
                i += 2;
            }
        }
        MR_TRY(mr_str_append(bytes, &c, 1));
    }
    return 0;
}

static int read_world(const json_t *keys, const json_t *tokens, json_t **tokenizer)
{
    const json_t *types = json_object_get(keys, G "token_type");
    struct mr_str bytes = {0}, spelling = {0};
    json_t *vocab = json_array();
    size_t i, last = 0;
    json_t *token;
    int err = 0;
    json_array_foreach((json_t *)(uintptr_t)tokens, i, token) {
        bool is = i && json_string_length(token) && type_of(types, i) == NORMAL;
        spelling.size = 0;
        if (is) {
            MR_GO(unescape(json_string_value(token), json_string_length(token), &bytes));
            MR_GO(mr_spell(bytes.text, bytes.size, &spelling));
            last = i + 1;
        }
        MR_GO(mr_json_append(vocab, is ? json_stringn(spelling.text, spelling.size) : json_null()));
    }
    while (json_array_size(vocab) > last)
        json_array_remove(vocab, json_array_size(vocab) - 1);
    if (last && !(*tokenizer = json_pack("{ss sO}", "kind", "world", "vocab", vocab)))
        err = mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
fail:
    mr_str_free(&bytes);
    mr_str_free(&spelling);
    json_decref(vocab);
    return err;
}

int mr_gguf_tokenizer(const json_t *keys, json_t **tokenizer)
{
    const char *model = json_string_value(json_object_get(keys, G "model")),
               *cut = json_string_value(json_object_get(keys, G "pre"));
    const json_t *tokens = json_object_get(keys, G "tokens");
    *tokenizer = NULL;
    if (!model || !strcmp(model, "no_vocab") || !strcmp(model, "none"))
        return 0;
    bool usual = !cut || !strcmp(cut, "gpt-2") || !strcmp(cut, "gpt2");
    if (json_is_array(tokens) && !strcmp(model, "gpt2") && usual)
        return read_bpe(keys, tokens, tokenizer);
    if (json_is_array(tokens) && !strcmp(model, "rwkv"))
        return read_world(keys, tokens, tokenizer);
    mr_log(MR_LOG_WARNING, "its tokenizer (%.40s%s%.40s) is not supported: give one with --tokenizer", model,
           cut ? ", " : "", cut ? cut : "");
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct listing {
    json_t *tokens, *types;
};

static int list(struct listing *l, json_t *token, int type)
{
    MR_TRY(mr_json_append(l->tokens, token));
    return mr_json_append(l->types, json_integer(type));
}

/* Names for the ids up to `size` that stand for nothing. */
static int pad(struct listing *l, size_t size)
{
    char name[32];
    while (json_array_size(l->tokens) < size) {
        snprintf(name, sizeof name, "[PAD%zu]", json_array_size(l->tokens));
        MR_TRY(list(l, json_string(name), UNUSED));
    }
    return 0;
}

static int escape(const char *bytes, size_t size, struct mr_str *text)
{
    text->size = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\t' || c == '\n' || c == '\r' || c == '\\')
            MR_TRY(mr_str_printf(text, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\'));
        else
            MR_TRY(mr_str_printf(text, c < 0x20 || c >= 0x7f ? "\\x%02x" : "%c", c));
    }
    return 0;
}

/* The tokens as they are written in a file: `form` is escape or mr_spell. */
static int list_tokens(struct listing *l, const mr_tokenizer *t, size_t size,
                       int (*form)(const char *, size_t, struct mr_str *))
{
    struct mr_str text = {0};
    int err = 0;
    int64_t end = mr_tokenizer_end(t);
    for (size_t id = 0; id < size && id < mr_tokenizer_vocab_size(t) && !err; id++) {
        const char *bytes;
        size_t n;
        MR_GO(mr_tokenizer_decode(t, (uint32_t)id, &bytes, &n));
        text.size = 0;
        if ((int64_t)id == end) {
            MR_GO(list(l, json_string(form == escape ? "<s>" : MR_END_OF_TEXT), CONTROL));
        } else if (n) {
            MR_GO(form(bytes, n, &text));
            MR_GO(list(l, json_stringn(text.text, text.size), NORMAL));
        } else {
            MR_GO(pad(l, id + 1));
        }
    }
fail:
    mr_str_free(&text);
    return err;
}

/* Merges of ids, as the kind "bpe" has them, as merges of spellings. */
static json_t *spelled_merges(const json_t *merges, const json_t *tokens)
{
    json_t *list = json_array(), *merge;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)merges, i, merge) {
        unsigned long long left, right;
        const char *text = json_string_value(merge);
        if (!text || sscanf(text, "%9llu %9llu", &left, &right) != 2)
            continue;
        json_array_append_new(list, json_sprintf("%s %s", json_string_value(json_array_get(tokens, (size_t)left)),
                                                 json_string_value(json_array_get(tokens, (size_t)right))));
    }
    return list;
}

static int put_bpe(json_t *keys, const mr_tokenizer *t, const json_t *json, struct listing *l, size_t size)
{
    json_t *merges = json_object_get(json, "merges");
    bool trained = strcmp(mr_tokenizer_name(t), "bpe") == 0;
    json_int_t end = mr_tokenizer_end(t);
    MR_TRY(mr_json_set(keys, G "model", json_string("gpt2")));
    MR_TRY(mr_json_set(keys, G "pre", json_string("gpt-2")));
    MR_TRY(list_tokens(l, t, size, mr_spell));
    MR_TRY(mr_json_set(keys, G "merges", trained ? spelled_merges(merges, l->tokens) : json_incref(merges)));
    if (end < 0)
        return 0;
    MR_TRY(mr_json_set(keys, G "bos_token_id", json_integer(end)));
    return mr_json_set(keys, G "eos_token_id", json_integer(end));
}

/* Its name in the comment is what programs without a template engine look for. */
#define WORLD_TEMPLATE                                                                   \
    "{#- rwkv-world -#}{%- for message in messages -%}{%- if message.role == 'user' -%}" \
    "{{- 'User: ' -}}{%- elif message.role == 'assistant' -%}{{- 'Assistant: ' -}}"      \
    "{%- else -%}{{- 'System: ' -}}{%- endif -%}{{- message.content|trim + '\\n\\n' -}}" \
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"

static int put_world(json_t *keys, const mr_tokenizer *t, struct listing *l, size_t size)
{
    enum { PAUSE = 261 }; /* the World vocabulary's "\n\n", which ends a speaker's turn */
    const char *bytes = "";
    size_t n = 0;
    MR_TRY(mr_json_set(keys, G "model", json_string("rwkv")));
    MR_TRY(list_tokens(l, t, size, escape));
    MR_TRY(mr_json_set(keys, G "bos_token_id", json_integer(0)));
    MR_TRY(mr_json_set(keys, G "eos_token_id", json_integer(0)));
    if (PAUSE < mr_tokenizer_vocab_size(t))
        MR_TRY(mr_tokenizer_decode(t, PAUSE, &bytes, &n));
    if (n != 2 || memcmp(bytes, "\n\n", 2))
        return 0;
    MR_TRY(mr_json_set(keys, G "eot_token_id", json_integer(PAUSE)));
    return mr_json_set(keys, "tokenizer.chat_template", json_string(WORLD_TEMPLATE));
}

static int put_names(json_t *keys, const struct mr_config *cfg)
{
    bool rwkv = mr_family(cfg)->rwkv;
    MR_TRY(mr_json_set(keys, G "model", json_string(rwkv ? "rwkv" : "gpt2")));
    return rwkv ? 0 : mr_json_set(keys, G "merges", json_array());
}

int mr_gguf_put_tokenizer(json_t *keys, const json_t *json, const struct mr_config *cfg, bool *kept)
{
    struct listing l = {json_array(), json_array()};
    mr_tokenizer *t = NULL;
    int err = 0;
    if (json)
        MR_GO(mr_tokenizer_open_json(&t, json));
    const char *kind = t ? mr_tokenizer_name(t) : "";
    bool bpe = !strcmp(kind, "gpt2") || !strcmp(kind, "bpe"), world = !strcmp(kind, "world");
    *kept = bpe || world;
    if (bpe)
        MR_GO(put_bpe(keys, t, json, &l, (size_t)cfg->vocab_size));
    else
        MR_GO(world ? put_world(keys, t, &l, (size_t)cfg->vocab_size) : put_names(keys, cfg));
    MR_GO(pad(&l, (size_t)cfg->vocab_size));
    MR_GO(mr_json_set(keys, G "tokens", json_incref(l.tokens)));
    err = mr_json_set(keys, G "token_type", json_incref(l.types));
fail:
    mr_tokenizer_close(t);
    json_decref(l.tokens);
    json_decref(l.types);
    return err;
}
