/* SPDX-License-Identifier: GPL-3.0-or-later
 * Texts through fixed tokenizers of every kind: the first byte chooses the tokenizer and whether special
 * tokens are looked for, the second how the text comes in pieces; the rest is text. */
#include "tokenizer.h"

#include "text/chars.h"
#include "text/train_bpe.h"
#include "text/vocab.h"

static const char sample[] = "the cat sat on the mat, the rat sat on the cat. It's 1234 caf\xc3\xa9s "
                             "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87  the end";

/* {"vocab": {…}, "merges": […]} of all bytes and some merges. */
static json_t *bytes_and_merges(void)
{
    static const char *const merges[] = {"t h",
                                         "th e",
                                         "\xc4\xa0 the",
                                         "a t",
                                         "\xc4\xa0 c",
                                         "\xc4\xa0\x63 at",
                                         "a a",
                                         "aa aa",
                                         "1 2",
                                         "\xc3\x83 \xc2\xa9",
                                         "\xc4\xa0 \xc4\xa0",
                                         "\xc3\x8c \xc4\xa3"};
    json_t *vocab = json_object(), *list = json_array();
    for (int i = 0; i < 256; i++) {
        struct mr_str spelling = {0};
        char byte = (char)i;
        fuzz_must(!mr_spell(&byte, 1, &spelling));
        json_object_set_new(vocab, spelling.text, json_integer(i));
        mr_str_free(&spelling);
    }
    for (int i = 0; i < (int)(sizeof merges / sizeof *merges); i++) {
        const char *space = strchr(merges[i], ' ');
        json_t *merged = json_sprintf("%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        json_object_set_new(vocab, json_string_value(merged), json_integer(256 + i));
        json_array_append_new(list, json_string(merges[i]));
        json_decref(merged);
    }
    json_object_set_new(vocab, MR_END_OF_TEXT, json_integer(256 + (json_int_t)json_array_size(list)));
    return json_pack("{so so}", "vocab", vocab, "merges", list);
}

static mr_tokenizer *open_json(json_t *json)
{
    mr_tokenizer *t = NULL;
    fuzz_must(json && !mr_tokenizer_open_json(&t, json));
    json_decref(json);
    return t;
}

static mr_tokenizer *gpt2(void)
{
    json_t *json = bytes_and_merges();
    json_object_set_new(json, "kind", json_string("gpt2"));
    return open_json(json);
}

/* As tokenizer.json has it: NFC, the given pre-tokenizers, added tokens. */
static mr_tokenizer *json_kind(const char *pre_tokenizer, bool whole_words)
{
    json_t *model = bytes_and_merges(), *pre = json_loads(pre_tokenizer, 0, NULL);
    json_t *added = json_loads("[{\"id\": 300, \"content\": \"<|endoftext|>\", \"special\": true}, {\"id\": 301, "
                               "\"content\": \"   \", \"normalized\": false},"
                               " {\"id\": 302, \"content\": \"\\u00e9\\u00e9\"}, {\"id\": 303, \"content\": \"<|e\"}]",
                               0, NULL);
    json_object_del(json_object_get(model, "vocab"), MR_END_OF_TEXT);
    json_object_set_new(model, "ignore_merges", json_boolean(whole_words));
    return open_json(json_pack("{ss s{ss} so so so}", "kind", "json", "normalizer", "type", "NFC", "pre_tokenizer", pre,
                               "added_tokens", added, "model", model));
}

static mr_tokenizer *bpe(void)
{
    mr_tokenizer *t = NULL;
    mr_bpe_trainer *trainer = NULL;
    fuzz_must(!mr_bpe_trainer_open(&trainer, 300) && !mr_bpe_trainer_feed(trainer, sample, sizeof sample - 1));
    fuzz_must(!mr_bpe_trainer_finish(trainer) && !mr_bpe_trainer_tokenizer(trainer, &t));
    mr_bpe_trainer_close(trainer);
    return t;
}

static mr_tokenizer *chars(void)
{
    static struct mr_char_set set;
    mr_tokenizer *t = NULL;
    fuzz_must(!mr_char_set_feed(&set, sample, sizeof sample - 1) && !mr_char_set_finish(&set) &&
              !mr_tokenizer_from_chars(&t, &set));
    return t;
}

/* All bytes, and words that begin with each other. */
static mr_tokenizer *world(void)
{
    static const char *const words[] = {"the",      " the",   " the cat", "\xe4\xb8\xad\xe6\x96\x87", "\n\n", "aa",
                                        "aaaaaaaa", "<|endo", " 12"};
    json_t *vocab = json_array();
    json_array_append_new(vocab, json_null());
    for (int i = 0; i < 256 + (int)(sizeof words / sizeof *words); i++) {
        struct mr_str spelling = {0};
        char byte = (char)i;
        fuzz_must(!mr_spell(i < 256 ? &byte : words[i - 256], i < 256 ? 1 : strlen(words[i - 256]), &spelling));
        json_array_append_new(vocab, json_string(spelling.text));
        mr_str_free(&spelling);
    }
    return open_json(json_pack("{ss so}", "kind", "world", "vocab", vocab));
}

enum { TOKENIZERS = 8 };
static mr_tokenizer *tokenizers[TOKENIZERS];

static void close_all(void)
{
    for (int i = 0; i < TOKENIZERS; i++)
        mr_tokenizer_close(tokenizers[i]);
}

static void open_all(void)
{
    tokenizers[0] = open_json(json_pack("{ss}", "kind", "byte"));
    tokenizers[1] = chars();
    tokenizers[2] = gpt2();
    tokenizers[3] = json_kind("{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", false);
    tokenizers[4] =
        json_kind("{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true},"
                  " {\"type\": \"ByteLevel\", \"add_prefix_space\": true}]}",
                  false);
    tokenizers[5] = json_kind("{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": "
                              "\"Isolated\", \"pattern\": {\"Regex\":"
                              " \"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
                              "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}},"
                              " {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}",
                              true);
    tokenizers[6] = bpe();
    tokenizers[7] = world();
    atexit(close_all);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    if (!tokenizers[0])
        open_all();
    if (size < 2)
        return 0;
    return fuzz_encode(tokenizers[data[0] % TOKENIZERS], (const char *)data + 2, size - 2, data[0] & 0x80, data[1]);
}
