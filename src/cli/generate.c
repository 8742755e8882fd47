/* SPDX-License-Identifier: GPL-3.0-or-later
 * generate: continues a prompt, token by token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "infer/lm.h"
#include "infer/sampler.h"

struct request {
    struct mr_common common;
    const volatile sig_atomic_t *stopped;
    const char *model, *model_name, *prompt, *stop, *state_in, *state_out, *tokenizer, *precision;
    int64_t max_tokens, top_k;
    double temperature, top_p, repetition_penalty;
    struct mr_sampling sampling;
};

struct answer {
    struct mr_str text; /* the prompt and what was generated */
    size_t printed;     /* bytes of it already on stdout */
    json_t *ids;        /* with --json */
    int64_t count;
    double first_token_ms, total_s;
};

/* `--model_name=ckpt-500` means out/ckpt-500.mrw, .pt or .pth. */
static int find_by_name(const char *name, char *path, size_t size)
{
    const char *endings[] = {"mrw", "pt", "pth"};
    for (size_t i = 0; i < MR_COUNT(endings); i++) {
        snprintf(path, size, "out/%s.%s", name, endings[i]);
        if (mr_is_file(path))
            return 0;
    }
    return mr_fail(MR_EFILE, "there is no out/%s.mrw, out/%s.pt or out/%s.pth", name, name, name);
}

static int read_prompt(const char *prompt, struct mr_str *text)
{
    if (strcmp(prompt, "-") != 0)
        return mr_str_append(text, prompt, strlen(prompt));
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, stdin)) > 0;)
        MR_TRY(mr_str_append(text, piece, n));
    return ferror(stdin) ? mr_fail(MR_EFILE, "the prompt cannot be read from standard input") : 0;
}

/* Bytes at the end of the text that may be the beginning of the stop text. */
static size_t held_back(const struct mr_str *text, size_t from, const char *stop)
{
    size_t n = stop ? strlen(stop) : 0, have = text->size - from;
    for (size_t held = n ? n - 1 : 0; held > 0; held--)
        if (held <= have && memcmp(text->text + text->size - held, stop, held) == 0)
            return held;
    return 0;
}

static void print_text(const struct request *r, struct answer *a, size_t prompt, bool end)
{
    size_t to = a->text.size - (end ? 0 : held_back(&a->text, prompt, r->stop));
    if (r->common.json || to <= a->printed)
        return;
    fwrite(a->text.text + a->printed, 1, to - a->printed, stdout);
    fflush(stdout);
    a->printed = to;
}

/* Appends the token's text; true when the stop text is complete (and then cut off). */
static int append(mr_sequence *s, const struct request *r, struct answer *a, size_t prompt, int32_t id)
{
    const char *bytes;
    size_t size, n = r->stop ? strlen(r->stop) : 0;
    MR_TRY(mr_lm_token_text(s->lm, id, &bytes, &size));
    size_t from = a->text.size - prompt > n ? a->text.size - n : prompt;
    MR_TRY(mr_str_append(&a->text, bytes, size));
    char *at = n ? memmem(a->text.text + from, a->text.size - from, r->stop, n) : NULL;
    if (!at)
        return 0;
    a->text.size = (size_t)(at - a->text.text);
    return 1;
}

static int generate(mr_sequence *s, const struct request *r, struct answer *a)
{
    size_t prompt = a->text.size;
    double began = mr_now();
    if (prompt)
        MR_TRY(mr_sequence_prompt(s, a->text.text, prompt));
    print_text(r, a, prompt, false);
    while (a->count < r->max_tokens && !*r->stopped) {
        int32_t id;
        int more = mr_sequence_next(s, &r->sampling, &id);
        if (more < 0)
            return more;
        if (a->count == 0)
            a->first_token_ms = 1e3 * (mr_now() - began);
        if (more == 0)
            break;
        a->count++;
        if (a->ids)
            MR_TRY(mr_json_append(a->ids, json_integer(id)));
        int stopped = append(s, r, a, prompt, id);
        if (stopped < 0)
            return stopped;
        if (stopped)
            break;
        print_text(r, a, prompt, false);
    }
    a->total_s = mr_now() - began;
    print_text(r, a, prompt, true);
    return 0;
}

static int report(const struct request *r, const struct answer *a)
{
    if (r->common.json) {
        /* Text that is not UTF-8 is given as Latin-1, so that no byte is lost. */
        json_t *text = json_stringn(a->text.text ? a->text.text : "", a->text.size);
        if (!text) {
            struct mr_str wide = {0};
            for (size_t i = 0; i < a->text.size; i++) {
                unsigned char c = (unsigned char)a->text.text[i];
                char two[2] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F))};
                MR_TRY(c < 0x80 ? mr_str_append(&wide, &c, 1) : mr_str_append(&wide, two, 2));
            }
            text = json_stringn(wide.text, wide.size);
            mr_str_free(&wide);
        }
        MR_TRY(mr_print_json(json_pack("{so sO sf sf}", "text", text, "tokens", a->ids, "first_token_ms",
                                       a->first_token_ms, "total_s", a->total_s)));
    } else {
        putchar('\n');
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return mr_fail(MR_EFILE, "the text cannot be written to standard output");
    fprintf(stderr, "length: %lld tokens, inference time: %.3f s, first token after %.1f ms\n", (long long)a->count,
            a->total_s, a->first_token_ms);
    return 0;
}

static int run(const struct request *r, const json_t *overrides)
{
    struct answer a = {0};
    mr_runtime *rt = NULL;
    mr_lm *lm = NULL;
    mr_sequence *s = NULL;
    struct mr_lm_options options;
    char path[4096];
    int err = 0;
    if (r->model_name)
        MR_GO(find_by_name(r->model_name, path, sizeof path));
    else
        snprintf(path, sizeof path, "%s", r->model);
    MR_GO(mr_sampling_check(&r->sampling));
    MR_GO(read_prompt(r->prompt, &a.text));
    if (r->common.json && !(a.ids = json_array())) {
        err = mr_fail(MR_ENOMEM, "out of memory");
        goto fail;
    }
    MR_GO(mr_common_open(&r->common, &rt));
    mr_lm_defaults(&options);
    options.tokenizer = r->tokenizer;
    options.precision = r->precision;
    MR_GO(mr_lm_open_with(&lm, rt, path, overrides, &options));
    MR_GO(mr_sequence_open(&s, lm));
    if (r->state_in)
        MR_GO(mr_sequence_restore(s, r->state_in));
    MR_GO(generate(s, r, &a));
    if (r->state_out)
        MR_GO(mr_sequence_save(s, r->state_out));
    MR_GO(report(r, &a));
    if (*r->stopped)
        err = mr_fail(MR_EINTERRUPTED, "stopped");
fail:
    mr_sequence_close(s);
    mr_lm_close(lm);
    mr_common_close(&r->common, rt);
    json_decref(a.ids);
    mr_str_free(&a.text);
    return err;
}

int mr_command_generate(int argc, char **argv)
{
    struct request r = {.prompt = "\n", .max_tokens = 200, .stopped = mr_catch_signals()};
    struct mr_words words = {0}, config = {0};
    json_t *overrides = NULL;
    mr_sampling_defaults(&r.sampling);
    r.temperature = (double)r.sampling.temperature;
    r.top_k = r.sampling.top_k;
    r.top_p = (double)r.sampling.top_p;
    r.repetition_penalty = (double)r.sampling.repetition_penalty;
    const struct mr_option options[] = {
        {"prompt", MR_OPTION_TEXT, &r.prompt, "TEXT", "what to continue; - reads it from standard input (a newline)"},
        {"max-tokens", MR_OPTION_INT, &r.max_tokens, "N", "tokens to generate (200)"},
        {"max-num-tokens", MR_OPTION_INT, &r.max_tokens, "N", NULL},
        {"temperature", MR_OPTION_FLOAT, &r.temperature, "X", "divides the logits; 0 takes the largest (0.8)"},
        {"top-k", MR_OPTION_INT, &r.top_k, "K", "only the K most likely tokens; 0: all (200)"},
        {"top-p", MR_OPTION_FLOAT, &r.top_p, "P", "only the most likely that reach P together (1)"},
        {"repetition-penalty", MR_OPTION_FLOAT, &r.repetition_penalty, "X", "over 1 makes repeating less likely (1)"},
        {"seed", MR_OPTION_SEED, &r.sampling.seed, "S", "the same seed gives the same text (1337)"},
        {"stop", MR_OPTION_TEXT, &r.stop, "TEXT", "ends before this text"},
        {"state-in", MR_OPTION_TEXT, &r.state_in, "F", "goes on from a saved state"},
        {"state-out", MR_OPTION_TEXT, &r.state_out, "F", "saves the state at the end"},
        {"model-name", MR_OPTION_TEXT, &r.model_name, "NAME", "instead of MODEL: out/NAME.mrw, .pt or .pth"},
        {"tokenizer", MR_OPTION_TEXT, &r.tokenizer, "T", "for models that do not carry one"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {.name = "generate",
                                     .words = "MODEL",
                                     .about = "continues a prompt",
                                     .example = "microrwkv generate out/best.mrw --prompt 'One day' --max-tokens 300",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 0,
                                     .max_words = 1};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err && !r.model_name && words.count != 1)
        err = mr_fail(MR_EINVAL, "generate needs a MODEL (or --model-name NAME): see generate --help");
    if (!err && (r.top_k < 0 || r.top_k > INT32_MAX))
        err = mr_fail(MR_EINVAL, "--top-k %lld makes no sense: give 0 (all) or more", (long long)r.top_k);
    if (!err && r.max_tokens < 0)
        err = mr_fail(MR_EINVAL, "--max-tokens %lld cannot be negative", (long long)r.max_tokens);
    if (!err)
        err = mr_overrides(&config, &overrides);
    if (!err) {
        r.model = words.count ? words.word[0] : NULL;
        r.sampling.temperature = (float)r.temperature;
        r.sampling.top_k = (int)r.top_k;
        r.sampling.top_p = (float)r.top_p;
        r.sampling.repetition_penalty = (float)r.repetition_penalty;
        err = run(&r, overrides);
    }
    json_decref(overrides);
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
