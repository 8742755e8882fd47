/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "gpt2:DIR": the files of GPT-2, under their first names (encoder.json, vocab.bpe) or those they got
 * later (vocab.json, merges.txt). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/byte_level.h"

enum { LARGEST_MERGES = 256 << 20 };

/* A line per merge; the first may be a comment. */
static int read_merges(const char *path, json_t **merges)
{
    struct mr_str text = {0};
    *merges = json_array();
    int err = *merges ? mr_file_read(path, LARGEST_MERGES, &text) : MR_ENOMEM;
    for (size_t at = 0; at < text.size && !err;) {
        const char *line = text.text + at, *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;
        at += size + 1;
        while (size && line[size - 1] == '\r')
            size--;
        if (!size || (line == text.text && size > 8 && !memcmp(line, "#version", 8)))
            continue;
        json_t *merge = memchr(line, 0, size) ? NULL : json_stringn(line, size);
        err = merge ? mr_json_append(*merges, merge)
                    : mr_fail(MR_EFILE, "%s: merge %zu is no valid UTF-8, or holds a zero byte", path,
                              json_array_size(*merges) + 1);
    }
    mr_str_free(&text);
    return err;
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

static int gpt2_open(mr_tokenizer *t, const char *folder)
{
    static const char *const names[][2] = {{"encoder.json", "vocab.bpe"}, {"vocab.json", "merges.txt"}};
    char path[2][PATH_MAX];
    json_t *json = json_object(), *vocab = NULL, *merges = NULL;
    int err = json ? 0 : MR_ENOMEM;
    size_t pair = 0;
    for (; pair < 2; pair++) {
        for (int i = 0; i < 2; i++)
            snprintf(path[i], PATH_MAX, "%s/%s", folder, names[pair][i]);
        if (mr_is_file(path[0]) && mr_is_file(path[1]))
            break;
    }
    if (pair == 2)
        err = mr_fail(MR_EFILE, "the folder %s holds neither encoder.json and vocab.bpe nor vocab.json and merges.txt",
                      folder);
    if (!err)
        err = mr_json_load(&vocab, path[0]);
    if (!err)
        err = mr_json_set(json, "vocab", vocab);
    if (!err) {
        err = read_merges(path[1], &merges);
        int set = mr_json_set(json, "merges", merges);
        err = err ? err : set;
    }
    if (!err) {
        err = gpt2_load(t, json);
        if (err < 0)
            mr_fail_in(err, "%s, %s", names[pair][0], names[pair][1]);
    }
    json_decref(json);
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
