/* SPDX-License-Identifier: GPL-3.0-or-later
 * prepare: texts to train.bin, val.bin and meta.json. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "cli/cli.h"
#include "data/also.h"
#include "data/prepare.h"

struct view {
    struct mr_progress bar;
    const char *stage;
};

static void on_progress(void *context, const char *stage, uint64_t done, uint64_t total)
{
    struct view *v = context;
    char text[24];
    if (!v->stage || strcmp(v->stage, stage)) {
        mr_progress_end(&v->bar);
        mr_progress_begin(&v->bar, stderr, stage, total);
        v->stage = stage;
    }
    mr_progress_update(&v->bar, done, "%s", mr_format_bytes(text, done));
}

static int report(const struct mr_prepare *p, const struct mr_prepared *r, bool json)
{
    const char *file = r->tokenizer_file;
    char spec[PATH_MAX + 8], quoted[PATH_MAX + 16];
    snprintf(spec, sizeof spec, "bpe:%s", file);
    if (json)
        return mr_print_json(
            json_pack("{so ss so* sI sI sI sI s{sI sI} s{sI sI}}", "out", mr_json_repaired(p->out, strlen(p->out)),
                      "tokenizer", r->tokenizer, "tokenizer_file", *file ? mr_json_repaired(file, strlen(file)) : NULL,
                      "vocab_size", (json_int_t)r->vocab_size, "documents", (json_int_t)r->documents, "skipped_lines",
                      (json_int_t)r->met.skipped_lines, "replaced_characters", (json_int_t)r->met.replaced, "train",
                      "tokens", (json_int_t)r->tokens[0], "bytes", (json_int_t)r->bytes[0], "val", "tokens",
                      (json_int_t)r->tokens[1], "bytes", (json_int_t)r->bytes[1]));
    fprintf(stderr,
            "%s: tokenizer %s, vocabulary %zu, documents %" PRIu64 ", tokens %" PRIu64 " for train and %" PRIu64
            " for val\n",
            p->out, r->tokenizer, r->vocab_size, r->documents, r->tokens[0], r->tokens[1]);
    if (*file)
        fprintf(stderr, "the trained tokenizer: --tokenizer %s\n", mr_shell_word(spec, quoted, sizeof quoted));
    if (p->train_bpe > (int64_t)r->vocab_size)
        fprintf(stderr, "it has only %zu of %" PRId64 " tokens: no other pair of tokens occurs twice in the text\n",
                r->vocab_size, p->train_bpe);
    if (r->met.skipped_lines)
        fprintf(stderr, "%" PRIu64 " lines without a valid record were skipped\n", r->met.skipped_lines);
    if (r->met.replaced)
        fprintf(stderr, "%" PRIu64 " characters that are no valid Unicode became U+FFFD\n", r->met.replaced);
    return 0;
}

static int check(const struct mr_prepare *p, int64_t stories)
{
    if (!p->out)
        return mr_fail(MR_EINVAL, "prepare: --out is required: the folder to write");
    if (!p->tokenizer && !p->train_bpe)
        return mr_fail(MR_EINVAL,
                       "prepare: --tokenizer is required: byte, char, gpt2:DIR, json:FILE, world:FILE or bpe:FILE");
    if (p->tokenizer && p->train_bpe)
        return mr_fail(MR_EINVAL, "prepare: --tokenizer and --train-bpe exclude each other");
    if (stories < 0)
        return mr_fail(MR_EINVAL, "prepare: --stories %" PRId64 " cannot be negative", stories);
    if (!p->input_count && !stories)
        return mr_fail(MR_EINVAL, "prepare: no input: name files, folders, - for standard input, or --stories N");
    return 0;
}

/* "a,b" into the list of fields; the names point into `names`. */
static int set_fields(struct mr_source_options *reading, const char *list, char *names, size_t size)
{
    if ((size_t)snprintf(names, size, "%s", list) >= size)
        return mr_fail(MR_EINVAL, "prepare: --jsonl-fields is longer than %zu bytes", size - 1);
    for (char *save, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (reading->field_count == MR_SOURCE_FIELDS)
            return mr_fail(MR_EINVAL, "prepare: --jsonl-fields takes at most %d names", MR_SOURCE_FIELDS);
        reading->fields[reading->field_count++] = name;
    }
    return reading->field_count ? 0 : mr_fail(MR_EINVAL, "prepare: --jsonl-fields is empty");
}

int mr_command_prepare(int argc, char **argv)
{
    struct mr_common common = {0};
    struct mr_words inputs = {0};
    struct view view = {0};
    struct mr_source_options reading = {0};
    const char *fields = NULL, *also = NULL;
    char names[1024];
    int64_t longest = 0;
    struct mr_prepare p = {
        .reading = &reading, .seed = 1, .val_fraction = 0.1, .progress = on_progress, .context = &view};
    struct mr_prepared result;
    int64_t stories = 0;
    const struct mr_option options[] = {
        {"tokenizer", MR_OPTION_TEXT, &p.tokenizer, "T", "byte, char, gpt2:DIR, json:FILE, world:FILE or bpe:FILE"},
        {"out", MR_OPTION_TEXT, &p.out, "DIR", "the folder for train.bin, val.bin and meta.json"},
        {"val-fraction", MR_OPTION_FLOAT, &p.val_fraction, "X", "the last part of each input that goes to val (0.1)"},
        {"stories", MR_OPTION_INT, &stories, "N", "so many stories of the built-in generator as one more input"},
        {"seed", MR_OPTION_SEED, &p.seed, "S", "of the stories (1)"},
        {"train-bpe", MR_OPTION_INT, &p.train_bpe, "SIZE",
         "train a tokenizer of SIZE tokens on the inputs: DIR/tokenizer.json"},
        {"special", MR_OPTION_FLAG, &p.special, NULL, "<|endoftext|> within a line is the token, not text"},
        {"jsonl-fields", MR_OPTION_TEXT, &fields, "A,B",
         "the fields of a .jsonl record that make up its text, in this order (text)"},
        {"answers", MR_OPTION_FLAG, &p.answers, NULL,
         "train on the last of --jsonl-fields only: what precedes it is read, not predicted"},
        {"skip-bad-lines", MR_OPTION_FLAG, &reading.skip_bad_lines, NULL,
         "leave out and count .jsonl lines that are no JSON or lack a field"},
        {"max-record-bytes", MR_OPTION_INT, &longest, "N", "a longer line of .jsonl is a bad one (1 GiB)"},
        {"also", MR_OPTION_TEXT, &also, "FORMAT",
         "write the tokens for llm.c (DIR/llm.c/) or megatron (DIR/train.idx, val.idx) too"},
        MR_JSON_OPTION(&common),
    };
    const struct mr_syntax syntax = {
        .name = "prepare",
        .words = "[INPUT ...]",
        .about = "Turns text into tokens for training. An INPUT is a text file, a folder of them, a .jsonl file (its\n"
                 "field \"text\"), any of them packed (gzip, xz, zstd), a token file of llm.c or Megatron, or\n- for "
                 "standard input. A line <|endoftext|> ends a document.",
        .example = "microrwkv prepare book.txt --tokenizer char --out data/book",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 0,
        .max_words = INT_MAX};
    int err = mr_options_parse(&syntax, argc, argv, &inputs);
    if (!err) {
        p.inputs = inputs.word;
        p.input_count = inputs.count;
        p.stories = stories > 0 ? (uint64_t)stories : 0;
        err = check(&p, stories);
        reading.longest_record = longest > 0 ? (uint64_t)longest : 0;
        if (!err && longest < 0)
            err = mr_fail(MR_EINVAL, "prepare: --max-record-bytes %" PRId64 " cannot be negative", longest);
        if (!err && also)
            err = mr_also_check(also);
        if (!err && fields)
            err = set_fields(&reading, fields, names, sizeof names);
        if (!err && p.answers && (reading.field_count < 2 || also))
            err = mr_fail(MR_EINVAL, "prepare: --answers needs two --jsonl-fields or more, and no --also");
    }
    if (!err) {
        p.stop = mr_catch_signals();
        err = mr_prepare(&p, &result);
        mr_progress_end(&view.bar);
    }
    if (!err && also)
        err = mr_also_write(p.out, also);
    if (!err)
        err = report(&p, &result, common.json);
    mr_words_free(&inputs);
    return err;
}
