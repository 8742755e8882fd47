/* SPDX-License-Identifier: GPL-3.0-or-later
 * logits: the logits of every position of a text; grad: loss and gradients of a batch. For checking a model against
 * others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch.h"
#include "api/checks.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"

struct request {
    struct mr_common common;
    const char *model, *tokens, *batch, *out, *precision;
    bool step;
    const char *const *config;
    struct mr_words lora;
};

/* "1,2,3", or @FILE with the same (commas, spaces, newlines) in it. */
static int parse_tokens(const char *text, int32_t **tokens, int *count)
{
    struct mr_str file = {0};
    int err = 0;
    *tokens = NULL;
    *count = 0;
    if (*text == '@') {
        MR_GO(mr_file_read(text + 1, (size_t)1 << 28, &file));
        text = file.text ? file.text : "";
    }
    size_t most = strlen(text) / 2 + 1;
    if (!(*tokens = mr_alloc(most, sizeof **tokens))) {
        err = MR_ENOMEM;
        goto fail;
    }
    for (const char *at = text + strspn(text, ", \n\r\t"); *at; at += strspn(at, ", \n\r\t")) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || errno || id < INT32_MIN || id > INT32_MAX || (size_t)*count >= most) {
            err = mr_fail(MR_EINVAL, "--tokens: '%.20s' is not a token id", at);
            goto fail;
        }
        (*tokens)[(*count)++] = (int32_t)id;
        at = end;
    }
    if (*count == 0)
        err = mr_fail(MR_EINVAL, "--tokens is empty");
fail:
    mr_str_free(&file);
    return err;
}

static int run_logits(const struct request *r)
{
    mr_runtime *rt = NULL;
    int32_t *tokens = NULL;
    struct mr_logits_options options;
    int count, err;
    mr_logits_defaults(&options, sizeof options);
    options.step = r->step;
    options.precision = r->precision;
    options.config = r->config;
    options.lora = r->lora.word;
    MR_GO(mr_check_precision(r->precision));
    MR_GO(parse_tokens(r->tokens, &tokens, &count));
    MR_GO(mr_check_model(r->model));
    MR_GO(mr_common_open(&r->common, &rt));
    err = mr_logits_run(rt, r->model, tokens, count, r->out, &options);
fail:
    mr_common_close(&r->common, rt);
    free(tokens);
    return err;
}

static int run_grad(const struct request *r)
{
    mr_runtime *rt = NULL;
    struct mr_batch batch = {0};
    int err;
    MR_GO(mr_batch_read(r->batch, &batch));
    MR_GO(mr_check_model(r->model));
    MR_GO(mr_common_open(&r->common, &rt));
    err = mr_gradients_run(rt, r->model, &batch, r->out, r->config);
fail:
    mr_batch_free(&batch);
    mr_common_close(&r->common, rt);
    return err;
}

/* ---- both --------------------------------------------------------------------------------------------------- */

static int parse_and_run(const struct mr_syntax *syntax, struct request *r, struct mr_words *config, int argc,
                         char **argv, int (*run)(const struct request *))
{
    struct mr_words words = {0};
    int err = mr_options_parse(syntax, argc, argv, &words);
    if (!err && (!r->out || (!r->tokens && !r->batch)))
        err = mr_fail(MR_EINVAL, "%s: %s and --out are required (see %s --help)", syntax->name,
                      strcmp(syntax->name, "grad") ? "--tokens" : "--batch", syntax->name);
    if (!err)
        err = mr_check_config(config->word);
    if (!err) {
        r->model = words.word[0];
        r->config = config->word;
        err = run(r);
    }
    mr_words_free(&words);
    mr_words_free(&r->lora);
    mr_words_free(config);
    return err;
}

int mr_command_logits(int argc, char **argv)
{
    struct request r = {0};
    struct mr_words config = {0};
    const struct mr_option options[] = {
        {"tokens", MR_OPTION_TEXT, &r.tokens, "IDS", "token ids 1,2,3, or @FILE with them"},
        {"out", MR_OPTION_TEXT, &r.out, "F", ".safetensors file to write: logits (T,V)"},
        {"step", MR_OPTION_FLAG, &r.step, NULL, "feed one token at a time through the recurrent form"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"lora", MR_OPTION_LIST, &r.lora, "F[:S]", MR_LORA_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "override a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {.name = "logits",
                                     .words = "MODEL",
                                     .about = "Writes the logits at every position of a text.",
                                     .example = "microrwkv logits out/best.mrw --tokens 1,2,3 --out logits.safetensors",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 1,
                                     .max_words = 1};
    return parse_and_run(&syntax, &r, &config, argc, argv, run_logits);
}

int mr_command_grad(int argc, char **argv)
{
    struct request r = {0};
    struct mr_words config = {0};
    const struct mr_option options[] = {
        {"batch", MR_OPTION_TEXT, &r.batch, "F",
         ".safetensors file with tokens and targets (B,T), int32; -1: no target"},
        {"out", MR_OPTION_TEXT, &r.out, "G", ".safetensors file to write: loss, logits, grad.*"},
        {"config", MR_OPTION_LIST, &config, "K=V", "override a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {
        .name = "grad",
        .words = "MODEL",
        .about = "Writes loss, logits and all gradients of a batch.",
        .example = "microrwkv grad model.safetensors --batch batch.safetensors --out gradients.safetensors",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 1,
        .max_words = 1};
    return parse_and_run(&syntax, &r, &config, argc, argv, run_grad);
}
