/* SPDX-License-Identifier: GPL-3.0-or-later
 * A golden file as a test sees it: a model, a batch, and the logits, loss and gradients that it must give. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "../unit/unit_test.h"

#include <math.h>

#include "io/safetensors.h"
#include "formats/load.h"
#include "model/workspace.h"

struct golden {
    mr_runtime *rt;
    mr_model *model;
    mr_tensor_file *file;
    int batch, time;
    int32_t *tokens, *targets;
};

static inline float *golden_floats(const struct golden *g, const char *name, size_t *count)
{
    int64_t i = mr_tensor_file_find(g->file, name);
    if (i < 0)
        fail_msg("the golden file has no %s", name);
    size_t bytes;
    assert_ok(mr_file_tensor_size(&g->file->tensors[i], count, &bytes));
    float *values = malloc(*count * sizeof *values);
    assert_non_null(values);
    assert_ok(mr_tensor_file_read_f32(g->file, (size_t)i, 0, *count, values));
    return values;
}

/* (B,T) or (T) integers; NULL if the file has none of that name. */
static inline int32_t *golden_tokens(struct golden *g, const char *name)
{
    int64_t i = mr_tensor_file_find(g->file, name);
    if (i < 0)
        return NULL;
    const struct mr_file_tensor *t = &g->file->tensors[i];
    g->batch = t->ndim > 1 ? (int)t->shape[0] : 1;
    g->time = (int)t->shape[t->ndim - 1];
    int32_t *values = malloc((size_t)g->batch * (size_t)g->time * sizeof *values);
    assert_non_null(values);
    assert_ok(mr_tensor_file_read_i32(g->file, (size_t)i, 0, (size_t)g->batch * (size_t)g->time, values));
    return values;
}

/* A model and what is expected of it, on the default device. */
static inline struct golden golden_open_pair(const char *model, const char *expected)
{
    struct golden g = {0};
    assert_ok(mr_runtime_open(&g.rt, NULL));
    assert_ok(mr_model_open(&g.model, g.rt, model, NULL, MR_F32, NULL));
    assert_ok(mr_safetensors_open(&g.file, expected));
    g.tokens = golden_tokens(&g, "tokens");
    g.targets = golden_tokens(&g, "targets");
    assert_non_null(g.tokens);
    return g;
}

/* A golden file of this folder: the model's tensors are named model.*. */
static inline struct golden golden_open(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/%s", getenv("MICRORWKV_TEST_SOURCE"), name);
    return golden_open_pair(path, path);
}

static inline void golden_close(struct golden *g)
{
    free(g->tokens);
    free(g->targets);
    mr_tensor_file_close(g->file);
    mr_model_free(g->model);
    mr_runtime_close(g->rt);
}

/* max |got - want| <= tolerance * max |want|, which counts as `least` at least */
static inline void golden_near_of(const char *what, const float *got, const float *want, size_t count, double tolerance,
                                  double least)
{
    double worst = 0, largest = least;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)got[i] - want[i]);
        worst = d > worst || isnan(d) ? d : worst;
        largest = fmax(largest, fabs((double)want[i]));
        if (isnan(d))
            break;
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: the largest difference is %.2e of the largest value, %.0e is allowed", what, worst / largest,
                 tolerance);
}

static inline void golden_near(const char *what, const float *got, const float *want, size_t count, double tolerance)
{
    golden_near_of(what, got, want, count, tolerance, 1e-12);
}

/* All texts as one batch without slots. */
static inline void golden_run_batch(mr_workspace *ws, const struct golden *g, int logits)
{
    struct mr_piece *pieces = calloc((size_t)g->batch, sizeof *pieces);
    assert_non_null(pieces);
    for (int b = 0; b < g->batch; b++)
        pieces[b] = (struct mr_piece){-1, g->tokens + (size_t)b * (size_t)g->time, g->time, logits};
    assert_ok(mr_run(ws, NULL, pieces, g->batch));
    free(pieces);
}

/* Loss, logits and every gradient of the batch; gradients whose largest number is below `least` are compared with it.
 */
static inline void golden_check_gradients_of(const struct golden *g, double logits_tolerance, double gradient_tolerance,
                                             double least)
{
    struct mr_param_set gradients;
    const struct mr_workspace_options options = {
        .batch = g->batch, .time = g->time, .training = true, .gradients = &gradients};
    mr_workspace *ws;
    size_t count, rows = (size_t)g->batch * (size_t)g->time, vocab = (size_t)g->model->cfg.vocab_size;
    float *got = malloc(rows * vocab * sizeof *got), cross_entropy, aux;
    assert_non_null(got);
    assert_ok(mr_param_set_create(&gradients, g->model, MR_GRADIENTS, false));
    assert_ok(mr_workspace_create(&ws, g->model, &options));
    mr_workspace_set_training(ws, true, 1, 0, 0);
    golden_run_batch(ws, g, MR_LOGITS_NONE);
    assert_ok(mr_loss(ws, g->targets, got));
    assert_ok(mr_backward(ws));
    assert_ok(mr_read_loss(ws, &cross_entropy, &aux));
    float *want = golden_floats(g, "logits", &count);
    assert_int_equal(count, rows * vocab);
    golden_near("logits", got, want, count, logits_tolerance);
    free(want);
    free(got);
    float loss = cross_entropy + aux;
    want = golden_floats(g, "loss", &count);
    golden_near("loss", &loss, want, 1, 2e-5);
    free(want);
    for (int i = 0; i < g->model->params.count; i++) {
        const struct mr_param *p = g->model->params.list[i];
        char key[MR_NAME + 8];
        snprintf(key, sizeof key, "grad.%s", p->name);
        want = golden_floats(g, key, &count);
        assert_int_equal(count, p->count);
        got = malloc(count * sizeof *got);
        assert_ok(mr_read(g->rt, &gradients.list[i], 0, count, got));
        golden_near_of(key, got, want, count, gradient_tolerance, least);
        free(got);
        free(want);
    }
    mr_workspace_free(ws);
    mr_param_set_free(&gradients);
}

static inline void golden_check_gradients(const char *name, double logits_tolerance, double gradient_tolerance)
{
    struct golden g = golden_open(name);
    golden_check_gradients_of(&g, logits_tolerance, gradient_tolerance, 1e-12);
    golden_close(&g);
}

/* The logits of all texts at once, without a state. */
static inline void golden_check_logits(const struct golden *g, double tolerance)
{
    const struct mr_workspace_options options = {.batch = g->batch, .time = g->time, .logits = g->batch * g->time};
    mr_workspace *ws;
    size_t count, rows = (size_t)g->batch * (size_t)g->time, vocab = (size_t)g->model->cfg.vocab_size;
    float *want = golden_floats(g, "logits", &count), *got = malloc(rows * vocab * sizeof *got);
    assert_non_null(got);
    assert_int_equal(count, rows * vocab);
    assert_ok(mr_workspace_create(&ws, g->model, &options));
    golden_run_batch(ws, g, MR_LOGITS_ALL);
    assert_ok(mr_workspace_logits(ws, 0, (int)rows, got));
    golden_near("logits", got, want, count, tolerance);
    free(got);
    free(want);
    mr_workspace_free(ws);
}

/* The first text's logits, fed in pieces of these sizes (the last one repeats) with a state. */
static inline void golden_check_split(const struct golden *g, const int *pieces, int piece_count, double tolerance)
{
    const struct mr_workspace_options options = {.batch = 1, .time = g->time, .logits = g->time};
    mr_workspace *ws;
    mr_states *states;
    size_t count, vocab = (size_t)g->model->cfg.vocab_size;
    float *want = golden_floats(g, "logits", &count), *got = malloc((size_t)g->time * vocab * sizeof *got);
    assert_non_null(got);
    assert_ok(mr_workspace_create(&ws, g->model, &options));
    assert_ok(mr_states_create(&states, g->model, 1, false));
    for (int at = 0, i = 0; at < g->time; i++) {
        int n = pieces[i < piece_count ? i : piece_count - 1];
        n = n < g->time - at ? n : g->time - at;
        const struct mr_piece piece = {0, g->tokens + at, n, MR_LOGITS_ALL};
        assert_ok(mr_run(ws, states, &piece, 1));
        assert_ok(mr_workspace_logits(ws, 0, n, got + (size_t)at * vocab));
        at += n;
    }
    golden_near("logits in pieces", got, want, (size_t)g->time * vocab, tolerance);
    free(got);
    free(want);
    mr_states_free(states);
    mr_workspace_free(ws);
}

static inline void golden_check_pieces(const char *name, const int *pieces, int piece_count, double tolerance)
{
    struct golden g = golden_open(name);
    golden_check_split(&g, pieces, piece_count, tolerance);
    golden_close(&g);
}

#endif
