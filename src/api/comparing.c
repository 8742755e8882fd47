/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/comparing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "formats/adapter.h"
#include "formats/initial_state.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "formats/recipe.h"
#include "model/workspace.h"

enum { PROMPT = 32 };

struct side {
    mr_tensor_file *source;
    struct mr_config cfg;
    struct mr_naming naming;
    float *logits; /* [count, vocab] */
};

struct difference {
    size_t count; /* numbers that differ */
    double largest;
};

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int open_files(const struct mr_comparing *how, const struct mr_settings *overrides, struct side side[2])
{
    for (int i = 0; i < 2; i++) {
        struct side *s = &side[i];
        MR_TRY(mr_model_open_file(&s->source, how->path[i], overrides, &s->cfg, &s->naming));
        MR_TRY(mr_adapters_merge(&s->source, &s->naming, i ? NULL : how->lora));
    }
    if (side[0].cfg.vocab_size != side[1].cfg.vocab_size)
        return mr_fail(MR_EFILE, "%s and %s have different vocabularies: %d and %d tokens", how->path[0], how->path[1],
                       side[0].cfg.vocab_size, side[1].cfg.vocab_size);
    return 0;
}

/* What the coarsest format of a parameter costs the logits, relative to the largest. */
static double tolerance_of(const struct side side[2], const struct mr_params *params)
{
    static const double costs[MR_DTYPES] = {
        [MR_DTYPE_F16] = 1e-2,  [MR_DTYPE_BF16] = 5e-2, [MR_DTYPE_Q8_0] = 5e-2, [MR_DTYPE_Q5_1] = 0.25,
        [MR_DTYPE_Q5_0] = 0.25, [MR_DTYPE_Q4_1] = 0.5,  [MR_DTYPE_Q4_0] = 0.5};
    double most = 1e-5;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < params->count; i++) {
            int64_t at = mr_naming_find(side[k].source, &side[k].naming, params->list[i]->name, NULL);
            if (at >= 0 && costs[side[k].source->tensors[at].dtype] > most)
                most = costs[side[k].source->tensors[at].dtype];
        }
    return most;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

struct pass {
    float *numbers; /* of the first side */
    size_t done;
    bool comparing;
    struct difference d;
};

static int take(void *context, const void *bytes, size_t count)
{
    struct pass *p = context;
    const float *x = bytes, *y = p->numbers + p->done;
    if (!p->comparing)
        memcpy(p->numbers + p->done, x, count * sizeof *x);
    for (size_t i = 0; p->comparing && i < count; i++) {
        double by = fabs((double)x[i] - (double)y[i]);
        if (x[i] == y[i] || (isnan(x[i]) && isnan(y[i])))
            continue;
        p->d.count++;
        if (!(by <= p->d.largest)) /* what is no number is the largest */
            p->d.largest = by;
    }
    p->done += count;
    return 0;
}

/* A parameter that one side may lack is 0 there. */
static int compare_parameter(struct side side[2], const struct mr_param *p, struct difference *d)
{
    struct pass pass = {.numbers = mr_alloc(p->count, sizeof(float))};
    int err = pass.numbers ? 0 : MR_ENOMEM;
    for (int k = 0; k < 2 && !err; k++) {
        struct mr_place place;
        struct mr_recipe recipe;
        int64_t at = mr_naming_find(side[k].source, &side[k].naming, p->name, &place);
        pass.comparing = k == 1;
        pass.done = 0;
        if (at < 0)
            continue;
        err = mr_recipe_of(&recipe, side[k].source, (size_t)at, &place, p);
        if (!err)
            err = mr_recipe_run(side[k].source, &recipe, false, take, &pass);
    }
    *d = pass.d;
    free(pass.numbers);
    return err;
}

static int append(json_t *list, const char *name, const struct difference *d, size_t of)
{
    if (!d->count)
        return 0;
    return mr_json_append(list, json_pack("{ss sI sI so}", "name", name, "count", (json_int_t)d->count, "of",
                                          (json_int_t)of, "largest", mr_json_finite(d->largest)));
}

/* The states that texts begin with, where a side has them; 0 where it does not. */
static int compare_states(struct side side[2], json_t *list)
{
    const struct mr_config *cfg = &side[0].cfg;
    for (int block = 0; block < cfg->n_layer; block++) {
        struct pass pass = {0};
        struct mr_recipe recipe = {0};
        int64_t at[2];
        int err = 0;
        for (int k = 0; k < 2; k++)
            at[k] = mr_initial_state_find(side[k].source, &side[k].naming, block);
        for (int k = 0; k < 2 && !err; k++) {
            if (at[k] < 0)
                continue;
            err = mr_initial_state_recipe(&recipe, side[k].source, &side[k].naming, cfg, (size_t)at[k]);
            if (!err && !pass.numbers && !(pass.numbers = mr_alloc(recipe.count, sizeof(float))))
                err = MR_ENOMEM;
            pass.comparing = k == 1 || at[1] < 0;
            pass.done = 0;
            if (!err)
                err = mr_recipe_run(side[k].source, &recipe, false, take, &pass);
        }
        free(pass.numbers);
        char name[64];
        snprintf(name, sizeof name, MR_INITIAL_STATE, block);
        MR_TRY(err);
        MR_TRY(append(list, name, &pass.d, recipe.count));
    }
    return 0;
}

/* Appends {"name", "count", "of", "largest"} of each that differs. */
static int compare_tensors(struct side side[2], const struct mr_params *params, json_t *list)
{
    for (int i = 0; i < params->count; i++) {
        struct difference d;
        const struct mr_param *p = params->list[i];
        MR_TRY(compare_parameter(side, p, &d));
        MR_TRY(append(list, p->name, &d, p->count));
    }
    return compare_states(side, list);
}

/* ---- logits ------------------------------------------------------------------------------------------------------ */

/* Ids that are spread over the vocabulary, the same for both. */
static void make_prompt(int32_t tokens[PROMPT], int vocab)
{
    for (int i = 0; i < PROMPT; i++)
        tokens[i] = (int32_t)((uint64_t)(i + 1) * 2654435761u % (uint64_t)vocab);
}

static int run_prompt(mr_model *model, const int32_t *tokens, int count, float *logits)
{
    const struct mr_workspace_options options = {.batch = 1, .time = count, .logits = count};
    mr_workspace *ws = NULL;
    mr_states *states = NULL;
    char place[MR_NAME];
    int err;
    MR_GO(mr_workspace_create(&ws, model, &options));
    if (mr_states_possible(&model->cfg))
        MR_GO(mr_states_create(&states, model, 1, false));
    const struct mr_piece piece = {states ? 0 : -1, tokens, count, MR_LOGITS_ALL};
    MR_GO(mr_run(ws, states, &piece, 1));
    MR_GO(mr_workspace_logits(ws, 0, count, logits));
    for (size_t i = 0; i < (size_t)count * (size_t)model->cfg.vocab_size && !err; i++)
        if (!isfinite(logits[i]) && !(err = mr_first_not_finite(ws, place)))
            err = mr_fail(MR_ENUMERIC, "the logits are not finite; the first is in %s", place);
fail:
    mr_states_free(states);
    mr_workspace_free(ws);
    return err;
}

/* One model after the other, weights as f32, so that only the files make a difference. */
static int compute_logits(mr_runtime *rt, const struct mr_comparing *how, const struct mr_settings *overrides,
                          struct side side[2], int count)
{
    mr_model *model = NULL;
    int32_t tokens[PROMPT];
    int err;
    make_prompt(tokens, side[0].cfg.vocab_size);
    for (int i = 0; i < 2; i++) {
        const struct mr_opening opening = {.precision = MR_F32, .lora = i ? NULL : how->lora};
        side[i].logits = mr_alloc((size_t)count * (size_t)side[i].cfg.vocab_size, sizeof(float));
        MR_GO(side[i].logits ? 0 : MR_ENOMEM);
        MR_GO(mr_model_open_as(&model, rt, how->path[i], overrides, &opening, NULL));
        if ((err = run_prompt(model, tokens, count, side[i].logits)) < 0) {
            err = mr_fail_in(err, "%s", how->path[i]);
            goto fail;
        }
        mr_model_free(model);
        model = NULL;
    }
fail:
    mr_model_free(model);
    return err;
}

/* Largest difference, and the largest logit of the first. */
static void compare_logits(const struct side side[2], size_t n, double *difference, double *largest)
{
    *difference = *largest = 0;
    for (size_t i = 0; i < n; i++) {
        *difference = fmax(*difference, fabs((double)side[0].logits[i] - (double)side[1].logits[i]));
        *largest = fmax(*largest, fabs((double)side[0].logits[i]));
    }
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static int result_of(const struct side side[2], int count, double tolerance, json_t *tensors, json_t **result)
{
    double difference, largest;
    size_t n = (size_t)count * (size_t)side[0].cfg.vocab_size;
    compare_logits(side, n, &difference, &largest);
    *result = json_pack("{si sI sf sf sf sf}", "tokens", count, "logits", (json_int_t)n, "difference", difference,
                        "largest_logit", largest, "relative", difference / (largest > 0 ? largest : 1), "tolerance",
                        tolerance);
    if (!*result)
        return mr_fail(MR_ENOMEM, "out of memory");
    return tensors ? mr_json_set(*result, "tensors", json_incref(tensors)) : 0;
}

int mr_compare_models(mr_runtime *rt, const struct mr_comparing *how, json_t **result)
{
    struct side side[2] = {0};
    struct mr_params params = {0};
    struct mr_settings overrides = {0};
    json_t *list = NULL;
    int err;
    *result = NULL;
    MR_GO(mr_config_words(how->config, &overrides));
    MR_GO(open_files(how, &overrides, side));
    MR_GO(mr_model_declare(&params, &side[0].cfg));
    int count = PROMPT;
    for (int i = 0; i < 2; i++)
        if (side[i].cfg.positions == MR_POSITIONS_LEARNED && side[i].cfg.block_size < count)
            count = side[i].cfg.block_size;
    if (how->tensors && side[0].cfg.family == side[1].cfg.family) {
        MR_GO((list = json_array()) ? 0 : mr_fail(MR_ENOMEM, "out of memory"));
        if ((err = compare_tensors(side, &params, list)) < 0) {
            err = mr_fail_in(err, "%s and %s", how->path[0], how->path[1]);
            goto fail;
        }
    }
    double tolerance = how->tolerance < 0 ? tolerance_of(side, &params) : how->tolerance;
    MR_GO(compute_logits(rt, how, &overrides, side, count));
    err = result_of(side, count, tolerance, list, result);
fail:
    json_decref(list);
    mr_params_free(&params);
    mr_settings_free(&overrides);
    for (int i = 0; i < 2; i++) {
        mr_tensor_file_close(side[i].source);
        free(side[i].logits);
    }
    return err;
}
