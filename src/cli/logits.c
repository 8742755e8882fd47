/* SPDX-License-Identifier: GPL-3.0-or-later
 * logits: the logits of every position of a text, in parallel or one token at a time; grad: loss and gradients of a
 * batch. For checking a model against others. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "io/safetensors.h"
#include "formats/load.h"
#include "model/workspace.h"

#define CHUNK 64 /* positions of one call where the model has a state: the head is read once for them */

struct request {
    struct mr_common common;
    const char *model, *tokens, *batch, *out, *precision;
    bool step;
    struct mr_words lora;
    json_t *overrides;
};

/* ---- logits ------------------------------------------------------------------------------------------------- */

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
    size_t room = strlen(text) / 2 + 1;
    if (!(*tokens = mr_alloc(room, sizeof **tokens))) {
        err = MR_ENOMEM;
        goto fail;
    }
    for (const char *at = text + strspn(text, ", \n\r\t"); *at; at += strspn(at, ", \n\r\t")) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || errno || id < INT32_MIN || id > INT32_MAX || (size_t)*count >= room) {
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

/* Rows of logits that are not finite end the work: the name of what gave the first. */
static int check_finite(mr_workspace *ws, const float *logits, int rows, int first)
{
    size_t vocab = (size_t)ws->cfg->vocab_size;
    char place[MR_NAME];
    for (size_t i = 0; i < (size_t)rows * vocab; i++) {
        if (isfinite(logits[i]))
            continue;
        MR_TRY(mr_first_not_finite(ws, place));
        return mr_fail(MR_ENUMERIC, "the logits at position %d are not finite; the first is in %s",
                       first + (int)(i / vocab), place);
    }
    return 0;
}

static int compute_logits(mr_model *model, const int32_t *tokens, int count, bool step, mr_tensor_writer *writer)
{
    const struct mr_config *cfg = &model->cfg;
    bool with_state = mr_states_possible(cfg);
    int chunk = step ? 1 : with_state && count > CHUNK ? CHUNK : count;
    const struct mr_workspace_options options = {.batch = 1, .time = chunk, .logits = chunk};
    mr_workspace *ws = NULL;
    mr_states *states = NULL;
    int err;
    float *logits = mr_alloc((size_t)chunk * (size_t)cfg->vocab_size, sizeof *logits);
    if (!logits)
        return MR_ENOMEM;
    MR_GO(mr_workspace_create(&ws, model, &options));
    if (with_state)
        MR_GO(mr_states_create(&states, model, 1, false));
    for (int at = 0; at < count; at += chunk) {
        int n = count - at < chunk ? count - at : chunk;
        const struct mr_piece piece = {states ? 0 : -1, tokens + at, n, MR_LOGITS_ALL};
        MR_GO(mr_run(ws, states, &piece, 1));
        MR_GO(mr_workspace_logits(ws, 0, n, logits));
        MR_GO(check_finite(ws, logits, n, at));
        MR_GO(mr_tensor_writer_append_f32(writer, logits, (size_t)n * (size_t)cfg->vocab_size));
    }
fail:
    mr_states_free(states);
    mr_workspace_free(ws);
    free(logits);
    return err;
}

static int check_request(const struct mr_config *cfg, const int32_t *tokens, int count, bool step)
{
    if (step && !mr_states_possible(cfg))
        return mr_fail(MR_EINVAL, "--step: a model in reference mode cannot be fed one token at a time");
    if (cfg->positions == MR_POSITIONS_LEARNED && count > cfg->block_size)
        return mr_fail(MR_EFILE,
                       "%d tokens are more than the %d positions that this model was trained for (block_size)", count,
                       cfg->block_size);
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= cfg->vocab_size)
            return mr_fail(MR_EFILE, "token %d at position %d is outside the vocabulary of %d", tokens[i], i,
                           cfg->vocab_size);
    return 0;
}

static int run_logits(const struct request *r)
{
    mr_runtime *rt = NULL;
    mr_model *model = NULL;
    mr_tensor_writer *writer = NULL;
    int32_t *tokens = NULL;
    struct mr_opening opening = {.lora = r->lora.word};
    int count, err;
    MR_GO(mr_precision_by_name(r->precision, &opening.precision));
    MR_GO(parse_tokens(r->tokens, &tokens, &count));
    MR_GO(mr_common_open(&r->common, &rt));
    MR_GO(mr_model_open_as(&model, rt, r->model, r->overrides, &opening, NULL));
    MR_GO(check_request(&model->cfg, tokens, count, r->step));
    struct mr_file_tensor out = {
        .name = "logits", .dtype = MR_DTYPE_F32, .ndim = 2, .shape = {count, model->cfg.vocab_size}, .shares = -1};
    MR_GO(mr_safetensors_begin(&writer, r->out, &out, 1, NULL));
    MR_GO(compute_logits(model, tokens, count, r->step, writer));
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    mr_model_free(model);
    mr_common_close(&r->common, rt);
    free(tokens);
    return err;
}

/* ---- grad --------------------------------------------------------------------------------------------------- */

struct batch {
    int rows, time; /* B, T */
    int32_t *tokens, *targets;
};

static int read_batch(const char *path, struct batch *b)
{
    mr_tensor_file *file = NULL;
    const char *names[] = {"tokens", "targets"};
    int32_t **into[] = {&b->tokens, &b->targets};
    int err;
    MR_TRY(mr_safetensors_open(&file, path));
    for (int i = 0; i < 2; i++) {
        int64_t at = mr_tensor_file_find(file, names[i]);
        const struct mr_file_tensor *t = at < 0 ? NULL : &file->tensors[at];
        if (!t || t->ndim != 2 || t->shape[0] < 1 || t->shape[1] < 1 || t->shape[0] > 1 << 20 ||
            t->shape[1] > 1 << 20) {
            err = mr_fail(MR_EFILE, "%s: needs an integer tensor '%s' of shape (B,T)", path, names[i]);
            goto fail;
        }
        if (i && (t->shape[0] != b->rows || t->shape[1] != b->time)) {
            err = mr_fail(MR_EFILE, "%s: tokens and targets have different shapes", path);
            goto fail;
        }
        b->rows = (int)t->shape[0];
        b->time = (int)t->shape[1];
        err = MR_ENOMEM;
        if (!(*into[i] = mr_alloc((size_t)b->rows * (size_t)b->time, sizeof **into[i])))
            goto fail;
        MR_GO(mr_tensor_file_read_i32(file, (size_t)at, 0, (size_t)b->rows * (size_t)b->time, *into[i]));
    }
fail:
    mr_tensor_file_close(file);
    return err;
}

/* Writes loss, logits and the gradient of every parameter. */
static int write_gradients(const struct mr_param_set *gradients, const struct batch *b, float loss, const float *logits,
                           const char *path)
{
    enum { PIECE = 1 << 18 };
    const mr_model *model = gradients->model;
    int count = model->params.count, err = MR_ENOMEM;
    mr_tensor_writer *writer = NULL;
    struct mr_file_tensor *list = mr_alloc((size_t)count + 2, sizeof *list);
    char(*names)[MR_NAME + 8] = mr_alloc((size_t)count, sizeof *names);
    float *room = mr_alloc(PIECE, sizeof *room);
    if (!list || !names || !room)
        goto fail;
    list[0] = (struct mr_file_tensor){.name = "loss", .dtype = MR_DTYPE_F32, .ndim = 1, .shape = {1}, .shares = -1};
    list[1] = (struct mr_file_tensor){.name = "logits",
                                      .dtype = MR_DTYPE_F32,
                                      .ndim = 3,
                                      .shares = -1,
                                      .shape = {b->rows, b->time, model->cfg.vocab_size}};
    for (int i = 0; i < count; i++) {
        const struct mr_param *p = model->params.list[i];
        snprintf(names[i], sizeof names[i], "grad.%s", p->name);
        list[i + 2] = (struct mr_file_tensor){.name = names[i], .dtype = MR_DTYPE_F32, .ndim = p->ndim, .shares = -1};
        for (int d = 0; d < p->ndim; d++)
            list[i + 2].shape[d] = (int64_t)p->shape[d];
    }
    MR_GO(mr_safetensors_begin(&writer, path, list, (size_t)count + 2, NULL));
    MR_GO(mr_tensor_writer_append_f32(writer, &loss, 1));
    MR_GO(
        mr_tensor_writer_append_f32(writer, logits, (size_t)b->rows * (size_t)b->time * (size_t)model->cfg.vocab_size));
    for (int i = 0; i < count; i++) {
        const struct mr_param *p = model->params.list[i];
        for (size_t at = 0; at < p->count; at += PIECE) {
            size_t n = p->count - at < PIECE ? p->count - at : PIECE;
            MR_GO(mr_read(model->rt, &gradients->list[i], at, n, room));
            MR_GO(mr_tensor_writer_append_f32(writer, room, n));
        }
    }
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    free(room);
    free(names);
    free(list);
    return err;
}

static int run_grad(const struct request *r)
{
    mr_runtime *rt = NULL;
    mr_model *model = NULL;
    mr_workspace *ws = NULL;
    struct mr_param_set gradients = {0};
    struct mr_piece *pieces = NULL;
    struct batch b = {0};
    float *logits = NULL, cross_entropy, aux;
    int err;
    MR_GO(read_batch(r->batch, &b));
    MR_GO(mr_common_open(&r->common, &rt));
    MR_GO(mr_model_open(&model, rt, r->model, r->overrides, MR_F32, NULL));
    MR_GO(check_request(&model->cfg, b.tokens, b.time, false));
    model->cfg.dropout = 0;
    MR_GO(mr_model_check_trainable(&model->cfg));
    MR_GO(mr_param_set_create(&gradients, model, MR_GRADIENTS, false));
    const struct mr_workspace_options options = {
        .batch = b.rows, .time = b.time, .training = true, .gradients = &gradients};
    MR_GO(mr_workspace_create(&ws, model, &options));
    err = MR_ENOMEM;
    size_t rows = (size_t)b.rows * (size_t)b.time;
    if (!(logits = mr_alloc(rows, (size_t)model->cfg.vocab_size * sizeof *logits)) ||
        !(pieces = mr_alloc((size_t)b.rows, sizeof *pieces)))
        goto fail;
    for (int i = 0; i < b.rows; i++)
        pieces[i] = (struct mr_piece){-1, b.tokens + (size_t)i * (size_t)b.time, b.time, MR_LOGITS_NONE};
    mr_workspace_set_training(ws, true, 1, 0, 0);
    MR_GO(mr_run(ws, NULL, pieces, b.rows));
    MR_GO(mr_loss(ws, b.targets, logits));
    MR_GO(mr_backward(ws));
    MR_GO(mr_read_loss(ws, &cross_entropy, &aux));
    MR_GO(write_gradients(&gradients, &b, cross_entropy + aux, logits, r->out));
fail:
    free(logits);
    free(b.tokens);
    free(b.targets);
    free(pieces);
    mr_workspace_free(ws);
    mr_param_set_free(&gradients);
    mr_model_free(model);
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
        err = mr_overrides(config, &r->overrides);
    if (!err) {
        r->model = words.word[0];
        err = run(r);
    }
    json_decref(r->overrides);
    mr_words_free(&words);
    mr_words_free(config);
    mr_words_free(&r->lora);
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
