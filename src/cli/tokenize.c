/* SPDX-License-Identifier: GPL-3.0-or-later
 * tokenize and detokenize: text on standard input to ids on standard output, and back. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "text/chars.h"
#include "data/source.h"
#include "text/tokenizer.h"

/* A spec, or a folder of prepared data with its tokenizer inside. */
static int open_tokenizer(mr_tokenizer **t, const char *spec)
{
    char path[PATH_MAX];
    json_t *meta;
    snprintf(path, sizeof path, "%s/meta.json", spec);
    if (!mr_is_file(path))
        return mr_tokenizer_open(t, spec);
    MR_TRY(mr_json_load(&meta, path));
    int err = mr_tokenizer_open_json(t, json_object_get(meta, "tokenizer"));
    json_decref(meta);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}

/* The tokenizer of the characters that the source holds. */
static int open_chars(mr_tokenizer **t, mr_source *source)
{
    struct mr_char_set *set = mr_alloc(1, sizeof *set);
    struct mr_piece piece;
    int more = set ? 1 : MR_ENOMEM;
    while (more > 0 && (more = mr_source_next(source, &piece)) > 0) {
        int err = mr_char_set_feed(set, piece.text, piece.size);
        more = err < 0 ? err : 1;
    }
    if (!more)
        more = mr_char_set_finish(set);
    if (!more)
        more = mr_tokenizer_from_chars(t, set);
    free(set);
    return more < 0 ? more : mr_source_rewind(source);
}

/* Prints the ids, or adds them to the list; and empties them. */
static int hand_out(struct mr_ids *ids, json_t *list)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (!list)
            printf("%u\n", ids->id[i]);
        else
            MR_TRY(mr_json_append(list, json_integer(ids->id[i])));
    }
    ids->count = 0;
    return 0;
}

static int tokenize(const char *spec, bool special, bool json)
{
    const struct mr_source_options exact = {.exact = true};
    mr_source *source = NULL;
    mr_tokenizer *t = NULL;
    mr_encoder *e = NULL;
    struct mr_ids ids = {0};
    struct mr_piece piece;
    json_t *list = json ? json_array() : NULL;
    int err, more;
    MR_GO(mr_source_open(&source, "-", &exact));
    MR_GO(strcmp(spec, "char") ? open_tokenizer(&t, spec) : open_chars(&t, source));
    MR_GO(mr_encoder_open(&e, t, special));
    while ((more = mr_source_next(source, &piece)) > 0) {
        MR_GO(mr_encoder_feed(e, piece.text, piece.size, &ids));
        MR_GO(hand_out(&ids, list));
    }
    MR_GO(more);
    MR_GO(mr_encoder_finish(e, &ids));
    MR_GO(hand_out(&ids, list));
    if (json)
        err = mr_print_json(json_pack("{ss sO}", "tokenizer", mr_tokenizer_name(t), "tokens", list));
fail:
    json_decref(list);
    mr_ids_free(&ids);
    mr_encoder_close(e);
    mr_tokenizer_close(t);
    mr_source_close(source);
    return err;
}

static int detokenize(const char *spec)
{
    mr_tokenizer *t = NULL;
    char *line = NULL;
    size_t capacity = 0;
    long long number = 0;
    int err;
    MR_GO(open_tokenizer(&t, spec));
    while (getline(&line, &capacity, stdin) > 0) {
        number++;
        for (char *at = line + strspn(line, " \t\r\n,"), *end; *at; at = end + strspn(end, " \t\r\n,")) {
            const char *bytes;
            size_t size;
            errno = 0;
            unsigned long id = strtoul(at, &end, 10);
            if (!isdigit((unsigned char)*at) || errno || id > UINT32_MAX || !strchr(" \t\r\n,", *end)) {
                err = mr_fail(MR_EFILE, "line %lld: \"%.*s\" is no token id", number, (int)strcspn(at, "\r\n"), at);
                goto fail;
            }
            err = mr_tokenizer_decode(t, (uint32_t)id, &bytes, &size);
            if (err < 0) {
                mr_fail_in(err, "line %lld", number);
                goto fail;
            }
            fwrite(bytes, 1, size, stdout);
        }
    }
    if (ferror(stdin))
        err = mr_fail(MR_EFILE, "standard input cannot be read: %s", strerror(errno));
fail:
    free(line);
    mr_tokenizer_close(t);
    return err;
}

static int run(int argc, char **argv, bool back)
{
    struct mr_common common = {0};
    struct mr_words words = {0};
    const char *spec = NULL;
    bool special = false;
    const struct mr_option options[] = {
        {"tokenizer", MR_OPTION_TEXT, &spec, "T",
         back ? "byte, gpt2:DIR, json:FILE, world:FILE, bpe:FILE, or a folder that prepare wrote"
              : "byte, char, gpt2:DIR, json:FILE, world:FILE, bpe:FILE, or a folder that prepare wrote"},
        {"special", MR_OPTION_FLAG, &special, NULL, "<|endoftext|> is the token, not text"},
        MR_JSON_OPTION(&common),
    };
    const struct mr_syntax syntax = {.name = back ? "detokenize" : "tokenize",
                                     .about = back ? "Turns token ids on standard input into text."
                                                   : "Turns text on standard input into token ids, one a line.",
                                     .example = back ? "echo 72 105 | microrwkv detokenize --tokenizer byte"
                                                     : "echo Hi | microrwkv tokenize --tokenizer byte",
                                     .options = options,
                                     .option_count = back ? 1 : MR_COUNT(options)};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !spec)
        err = mr_fail(MR_EINVAL, "%s: --tokenizer is required", syntax.name);
    if (!err)
        err = back ? detokenize(spec) : tokenize(spec, special, common.json);
    mr_words_free(&words);
    return err;
}

int mr_command_tokenize(int argc, char **argv)
{
    return run(argc, argv, false);
}

int mr_command_detokenize(int argc, char **argv)
{
    return run(argc, argv, true);
}
