/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/lora.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ops/elementwise.h"
#include "rt/gemm.h"

#define FIRST_SITE (1u << 19) /* of dropout: far above those of layers */

/* ---- parameters --------------------------------------------------------------------------------------------- */

/* The name without ".weight". */
static void module_of(const struct mr_param *p, char module[MR_NAME])
{
    snprintf(module, MR_NAME, "%s", p->name);
    char *end = strrchr(module, '.');
    if (end && strcmp(end, ".weight") == 0)
        *end = 0;
}

/* targets: patterns of whole names or of their ends, "key" or "blocks.0.att.*"; NULL: every one. */
static bool is_target(const char *targets, const char *module)
{
    char pattern[MR_NAME + 2];
    for (const char *at = targets; at && *at;) {
        size_t n = strcspn(at, ",");
        snprintf(pattern, sizeof pattern, "*.%.*s", (int)n, at);
        if (fnmatch(pattern, module, 0) == 0 || fnmatch(pattern + 2, module, 0) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return !targets;
}

static int declare_one(struct mr_params *params, struct mr_param *weight, const struct mr_tuning *tuning)
{
    char module[MR_NAME];
    const size_t out = weight->shape[0], in = weight->shape[1], rank = (size_t)tuning->rank;
    module_of(weight, module);
    struct mr_param *a = mr_declare(params, module, ".lora_A.weight", mr_shape(rank, in));
    struct mr_param *b = a ? mr_declare(params, module, ".lora_B.weight", mr_shape(out, rank)) : NULL;
    if (!b)
        return params->error;
    a->range = 1 / sqrt((double)in);
    a->adapter = b->adapter = a->decay = b->decay = true;
    weight->lora = (struct mr_lora){
        .a = a, .b = b, .scale = (float)(tuning->alpha / tuning->rank), .dropout = (float)tuning->dropout};
    return 0;
}

int mr_lora_declare(struct mr_params *params, const struct mr_tuning *tuning)
{
    char module[MR_NAME], example[MR_NAME] = "none";
    int before = params->count;
    for (int i = 0; i < before; i++) {
        struct mr_param *p = params->list[i];
        if (!p->linear)
            continue;
        module_of(p, module);
        memcpy(example, module, sizeof example);
        if (is_target(tuning->targets, module))
            MR_TRY(declare_one(params, p, tuning));
    }
    if (params->count == before)
        return mr_fail(MR_EINVAL, "targets=%s: no linear layer of this model has such a name; names are like %s",
                       tuning->targets ? tuning->targets : "", example);
    return 0;
}

int mr_lora_init(mr_model *model, uint64_t seed)
{
    for (int i = 0; i < model->params.count; i++) {
        const struct mr_param *p = model->params.list[i];
        if (!p->adapter)
            continue;
        float *values = mr_alloc(p->count, sizeof *values);
        int err = values ? mr_param_init(&model->params, i, &model->cfg, seed, 0, p->count, values) : MR_ENOMEM;
        if (!err)
            err = mr_write(model->rt, &p->value, 0, p->count, values);
        free(values);
        if (err)
            return err;
    }
    return 0;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

int mr_lora_plan(mr_workspace *ws, mr_plan *plan, const struct mr_params *params, size_t rows)
{
    size_t rank = 0, in = 0;
    bool drops = false;
    for (int i = 0; i < params->count; i++) {
        const struct mr_param *p = params->list[i];
        if (!p->lora.a)
            continue;
        rank = p->lora.a->shape[0];
        in = p->shape[1] > in ? p->shape[1] : in;
        drops = drops || p->lora.dropout > 0;
    }
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->low, MR_F32, rows * rank));
    if (!ws->training)
        return 0;
    MR_TRY(mr_plan_add(plan, MR_BUFFERS, &ws->dlow, MR_F32, rows * rank));
    return drops ? mr_plan_add(plan, MR_BUFFERS, &ws->dropped, MR_F32, rows * in) : 0;
}

static struct mr_dropout drop_of(const mr_workspace *ws, const struct mr_param *weight)
{
    return (struct mr_dropout){.p = ws->backward ? weight->lora.dropout : 0,
                               .seed = ws->seed,
                               .step = ws->micro_step,
                               .site = FIRST_SITE + (uint32_t)weight->index};
}

/* ws->low = scale A drop(x); *x becomes drop(x). */
static int down(mr_workspace *ws, const struct mr_param *weight, const mr_tensor **x)
{
    const struct mr_lora *lora = &weight->lora;
    const struct mr_dropout drop = drop_of(ws, weight);
    int rank = (int)lora->a->shape[0], in = (int)lora->a->shape[1];
    if (drop.p > 0) {
        MR_TRY(mr_dropout_apply(ws->rt, &drop, *x, &ws->dropped, (size_t)ws->rows * (size_t)in));
        *x = &ws->dropped;
    }
    const struct mr_gemm g = {.m = ws->rows, .n = rank, .k = in, .trans_b = true};
    MR_TRY(mr_gemm(ws->rt, &g, *x, &lora->a->value, &ws->low));
    return mr_scale(ws->rt, &ws->low, (size_t)ws->rows * (size_t)rank, lora->scale);
}

int mr_lora_forward(mr_workspace *ws, const struct mr_param *weight, const mr_tensor *x, const mr_tensor *y)
{
    const struct mr_param *b = weight->lora.b;
    MR_TRY(down(ws, weight, &x));
    const struct mr_gemm up = {.m = ws->rows, .n = (int)b->shape[0], .k = (int)b->shape[1], .trans_b = true, .beta = 1};
    return mr_gemm(ws->rt, &up, &ws->low, &b->value, y);
}

/* A drop(x) is computed again, which costs less than keeping it. */
int mr_lora_backward(mr_workspace *ws, const struct mr_param *weight, const mr_tensor *x, const mr_tensor *dy,
                     const mr_tensor *dx)
{
    const struct mr_lora *lora = &weight->lora;
    const struct mr_dropout drop = drop_of(ws, weight);
    mr_runtime *rt = ws->rt;
    int rows = ws->rows, out = (int)lora->b->shape[0], rank = (int)lora->b->shape[1], in = (int)lora->a->shape[1];
    size_t n = (size_t)rows * (size_t)in;
    const struct mr_gemm db = {.m = out, .n = rank, .k = rows, .trans_a = true, .beta = 1};
    const struct mr_gemm dlow = {.m = rows, .n = rank, .k = out};
    const struct mr_gemm da = {.m = rank, .n = in, .k = rows, .trans_a = true, .beta = 1};
    const struct mr_gemm input = {.m = rows, .n = in, .k = rank, .beta = drop.p > 0 ? 0 : 1};
    MR_TRY(down(ws, weight, &x));
    MR_TRY(mr_gemm(rt, &db, dy, &ws->low, mr_grad(ws, lora->b)));
    MR_TRY(mr_gemm(rt, &dlow, dy, &lora->b->value, &ws->dlow));
    MR_TRY(mr_scale(rt, &ws->dlow, (size_t)rows * (size_t)rank, lora->scale));
    MR_TRY(mr_gemm(rt, &da, &ws->dlow, x, mr_grad(ws, lora->a)));
    if (!dx)
        return 0;
    MR_TRY(mr_gemm(rt, &input, &ws->dlow, &lora->a->value, drop.p > 0 ? &ws->dropped : dx));
    if (drop.p == 0)
        return 0;
    MR_TRY(mr_dropout_apply(rt, &drop, &ws->dropped, &ws->dropped, n));
    return mr_accumulate(rt, &ws->dropped, dx, n);
}
