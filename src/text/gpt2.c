/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "gpt2:DIR": the files of GPT-2, under their first names (encoder.json, vocab.bpe) or those they got
 * later (vocab.json, merges.txt). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/hf_tokenizer.h"

enum { LARGEST_MERGES = 256 << 20 };

/* A line per merge; the first may be a comment. */
static int read_merges(const char *path, json_t **merges)
{
    struct mr_str text = {0};
    *merges = json_array();
    int err = *merges ? mr_file_read(path, LARGEST_MERGES, &text) : MR_ENOMEM;
    size_t start = text.size ? mr_utf8_mark(text.text, text.size) : 0;
    for (size_t at = start; at < text.size && !err;) {
        const char *line = text.text + at, *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;
        bool first = at == start;
        at += size + 1;
        while (size && line[size - 1] == '\r')
            size--;
        if (!size || (first && size > 8 && !memcmp(line, "#version", 8)))
            continue;
        json_t *merge = memchr(line, 0, size) ? NULL : json_stringn(line, size);
        err = merge ? mr_json_append(*merges, merge)
                    : mr_fail(MR_EFILE, "%s: merge %zu is not valid UTF-8 or contains a zero byte", path,
                              json_array_size(*merges) + 1);
    }
    mr_str_free(&text);
    return err == MR_EFILE ? mr_fail_kind(err, path) : err;
}

static int gpt2_load(mr_tokenizer *t, const json_t *json)
{
    json_t *vocab = json_object_get(json, "vocab"), *merges = json_object_get(json, "merges");
    const json_t *end = json_object_get(vocab, MR_END_OF_TEXT);
    struct mr_bpe *b = t->data = mr_alloc(1, sizeof *b);
    if (!b)
        return MR_ENOMEM;
    MR_TRY(mr_bpe_from_json(b, vocab, merges));
    t->vocab_size = b->vocab.size;
    if (end) {
        t->end = json_integer_value(end);
        MR_TRY(mr_tokenizer_add_special(t, MR_END_OF_TEXT, strlen(MR_END_OF_TEXT), (uint32_t)t->end));
    }
    json_t *source = json_pack("{sO sO}", "vocab", vocab, "merges", merges);
    int err = source ? mr_tokenizer_keep_source(t, source) : mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
    json_decref(source);
    return err;
}

/* Whether the tokens are none but the one that the vocabulary has anyway. */
static bool are_usual(const json_t *added, const json_t *vocab)
{
    size_t i;
    json_t *token;
    json_array_foreach((json_t *)(uintptr_t)added, i, token)
        if (strcmp(json_string_value(json_object_get(token, "content")), MR_END_OF_TEXT) ||
            !json_equal(json_object_get(token, "id"), json_object_get(vocab, MR_END_OF_TEXT)))
            return false;
    return true;
}

/* The post-processor of a folder whose tokenizer_config.json asks for bos_token before every text; else *post is NULL.
 */
static int read_start(const char *folder, const json_t *vocab, json_t **post)
{
    char path[PATH_MAX];
    json_t *config = NULL;
    *post = NULL;
    if (snprintf(path, sizeof path, "%s/tokenizer_config.json", folder) >= PATH_MAX || !mr_is_file(path))
        return 0;
    MR_TRY(mr_json_load(&config, path));
    const json_t *bos = json_object_get(config, "bos_token"), *id;
    const char *name = json_string_value(json_is_object(bos) ? json_object_get(bos, "content") : bos);
    int err = 0;
    if (name && json_is_true(json_object_get(config, "add_bos_token")) && (id = json_object_get(vocab, name))) {
        *post = json_pack("{ss s[{s{ss}}] s{s{s[O]}}}", "type", "TemplateProcessing", "single", "SpecialToken", "id",
                          name, "special_tokens", name, "ids", id);
        if (!*post)
            err = mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
    }
    json_decref(config);
    return err;
}

/* With added tokens it is the tokenizer.json that says the same. */
static int load_with(mr_tokenizer *t, json_t *vocab, json_t *merges, json_t *added, json_t *post)
{
    json_t *file = json_pack("{sO? s{ss sb sb} sO s{ss sO sO}}", "post_processor", post, "pre_tokenizer", "type",
                             "ByteLevel", "add_prefix_space", 0, "use_regex", 1, "added_tokens", added, "model", "type",
                             "BPE", "vocab", vocab, "merges", merges);
    t->kind = &mr_tokenizer_json;
    int err = file ? mr_hf_tokenizer_read(t, file) : mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
    json_decref(file);
    return err;
}

static int load_folder(mr_tokenizer *t, const char *folder, json_t *vocab, json_t *merges)
{
    json_t *added = NULL, *post = NULL, *json = json_pack("{sO sO}", "vocab", vocab, "merges", merges);
    int err =
        json ? mr_added_tokens_read(folder, vocab, &added) : mr_fail(MR_ENOMEM, "out of memory for the tokenizer");
    if (!err)
        err = read_start(folder, vocab, &post);
    if (!err)
        err = are_usual(added, vocab) && !post ? gpt2_load(t, json) : load_with(t, vocab, merges, added, post);
    json_decref(post);
    json_decref(added);
    json_decref(json);
    return err;
}

static int gpt2_open(mr_tokenizer *t, const char *folder)
{
    static const char *const names[][2] = {{"encoder.json", "vocab.bpe"}, {"vocab.json", "merges.txt"}};
    char path[2][PATH_MAX];
    json_t *vocab = NULL, *merges = NULL;
    int err;
    size_t pair = 0;
    for (; pair < 2; pair++) {
        for (int i = 0; i < 2; i++)
            snprintf(path[i], PATH_MAX, "%s/%s", folder, names[pair][i]);
        if (mr_is_file(path[0]) && mr_is_file(path[1]))
            break;
    }
    if (pair == 2)
        return mr_fail(MR_EFILE, "the folder %s holds neither encoder.json and vocab.bpe nor vocab.json and merges.txt",
                       folder);
    MR_GO(mr_json_load(&vocab, path[0]));
    MR_GO(read_merges(path[1], &merges));
    err = load_folder(t, folder, vocab, merges);
    if (err == MR_EFILE)
        mr_fail_kind(err, path[1]);
    if (err < 0)
        mr_fail_in(err, "%s, %s", names[pair][0], names[pair][1]);
fail:
    json_decref(vocab);
    json_decref(merges);
    return err;
}

const struct mr_tokenizer_kind mr_tokenizer_gpt2 = {
    .name = "gpt2",
    .argument = "DIR",
    .open = gpt2_open,
    .load = gpt2_load,
    .save = mr_tokenizer_save_source,
    .close = mr_byte_level_close,
    .encode = mr_byte_level_encode,
    .decode = mr_byte_level_decode,
    .scratch_open = mr_byte_level_scratch_open,
    .scratch_close = mr_byte_level_scratch_close,
};
