/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "model/layer.h"
#include "ops/elementwise.h"

static int declare_embeddings(struct mr_params *params, const struct mr_config *cfg, const struct mr_family *family)
{
    struct mr_param *p =
        mr_declare(params, "", family->embedding, mr_shape((size_t)cfg->vocab_size, (size_t)cfg->n_embd));
    if (!p)
        return params->error;
    p->std = family->embedding_range > 0 ? 0 : 0.02;
    p->range = family->embedding_range;
    p->matrix = p->decay = true;
    if (family->positions && cfg->positions == MR_POSITIONS_LEARNED) {
        int places = family->first_place + cfg->block_size;
        p = mr_declare(params, "", family->positions, mr_shape((size_t)places, (size_t)cfg->n_embd));
        if (!p)
            return params->error;
        p->std = 0.02;
        p->decay = true;
    }
    return family->first_norm ? mr_norm_declare(params, family->first_norm, cfg->n_embd, true) : 0;
}

int mr_model_declare(struct mr_params *params, const struct mr_config *cfg)
{
    MR_TRY(mr_config_check(cfg));
    const struct mr_family *family = mr_family(cfg);
    MR_TRY(declare_embeddings(params, cfg, family));
    for (int block = 0; block < cfg->n_layer; block++) {
        for (const struct mr_branch *b = mr_family_branches(cfg); b->chain[0].layer; b++) {
            for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++) {
                if (!b->chain[i].layer->declare)
                    continue;
                char at[MR_NAME], prefix[MR_NAME + 8];
                snprintf(at, sizeof at, family->block_prefix, block);
                const char *name = b->chain[i].name;
                snprintf(prefix, sizeof prefix, "%s%s%s", at, name, *name ? "." : "");
                MR_TRY(b->chain[i].layer->declare(params, cfg, prefix, block));
            }
        }
    }
    MR_TRY(mr_norm_declare(params, family->final_norm, cfg->n_embd, cfg->bias || family->norm_bias));
    if (!mr_head_name(cfg))
        return 0;
    struct mr_param *p =
        mr_declare(params, "", mr_head_name(cfg), mr_shape((size_t)cfg->vocab_size, (size_t)cfg->n_embd));
    if (!p)
        return params->error;
    p->std = 0.02;
    p->gain = family->head_gain * sqrt(fmax(1, (double)cfg->vocab_size / cfg->n_embd));
    p->matrix = p->decay = true;
    return 0;
}

bool mr_model_trainable(const struct mr_config *cfg)
{
    for (const struct mr_branch *b = mr_family_branches(cfg); b->chain[0].layer; b++)
        for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++)
            if (!b->chain[i].layer->backward)
                return false;
    return true;
}

int mr_model_check_trainable(const struct mr_config *cfg)
{
    if (mr_model_trainable(cfg))
        return 0;
    return mr_fail(MR_EINVAL, "models of family %s cannot be trained, only evaluated and run",
                   mr_family_name(cfg->family));
}

int mr_model_plan(struct mr_params *params, mr_plan *plan)
{
    for (int group = 0; group < MR_PARAM_GROUPS; group++) {
        for (int i = 0; i < params->count; i++) {
            struct mr_param *p = params->list[i];
            if (mr_param_group(p) == group)
                MR_TRY(mr_plan_add(plan, MR_PARAMETERS, &p->value, p->format, p->count));
        }
    }
    return 0;
}

int mr_model_formats(struct mr_params *params, const struct mr_tuning *tuning, mr_format_choice *choose, void *context)
{
    for (int i = 0; choose && i < params->count; i++) {
        if (!tuning || params->list[i]->frozen)
            MR_TRY(choose(context, params->list[i]));
    }
    return 0;
}

int mr_model_create(mr_model **out, mr_runtime *rt, const struct mr_config *cfg, mr_format_choice *choose,
                    void *context, bool force)
{
    return mr_model_create_tuned(out, rt, cfg, NULL, choose, context, force);
}

int mr_model_create_tuned(mr_model **out, mr_runtime *rt, const struct mr_config *cfg, const struct mr_tuning *tuning,
                          mr_format_choice *choose, void *context, bool force)
{
    int err = MR_ENOMEM;
    mr_plan *plan = NULL;
    mr_model *model = mr_alloc(1, sizeof *model);
    if (!model)
        return MR_ENOMEM;
    model->rt = rt;
    model->cfg = *cfg;
    model->references = 1;
    MR_GO(mr_model_declare(&model->params, cfg));
    MR_GO(mr_tuning_apply(tuning, &model->params));
    MR_GO(mr_model_formats(&model->params, tuning, choose, context));
    MR_GO(mr_plan_create(&plan, mr_runtime_info(rt)));
    MR_GO(mr_model_plan(&model->params, plan));
    MR_GO(mr_plan_allocate(plan, rt, force, &model->arena));
    mr_plan_free(plan);
    *out = model;
    return 0;
fail:
    mr_plan_free(plan);
    mr_model_free(model);
    return err;
}

mr_model *mr_model_share(mr_model *model)
{
    model->references++;
    return model;
}

void mr_model_free(mr_model *model)
{
    if (!model || --model->references > 0)
        return;
    mr_arena_free(model->rt, model->arena);
    mr_params_free(&model->params);
    free(model->initial);
    free(model);
}

int mr_model_init(mr_model *model, uint64_t seed)
{
    enum { PIECE = 1 << 16 };
    int err = 0;
    float *values = mr_alloc(PIECE, sizeof *values);
    if (!values)
        return MR_ENOMEM;
    for (int i = 0; i < model->params.count; i++) {
        const struct mr_param *p = model->params.list[i];
        MR_GO(mr_param_draw(&model->params, i, seed));
        for (size_t at = 0; at < p->count; at += PIECE) {
            size_t n = p->count - at < PIECE ? p->count - at : PIECE;
            MR_GO(mr_param_init(&model->params, i, &model->cfg, seed, at, n, values));
            MR_GO(mr_write(model->rt, &p->value, at, n, values));
        }
    }
fail:
    free(values);
    free(model->params.whole.values);
    model->params.whole.values = NULL;
    return err;
}
