/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "formats/adapter_convert.h"
#include "formats/initial_state.h"
#include "formats/load.h"
#include "io/tensor_source.h"
#include "model/layer.h"

bool mr_trainer_adapts(const mr_trainer *t)
{
    return mr_tuning_adapts(&t->tuning);
}

/* None of these keys means anything without LoRA, and precision nothing without an adapter. */
static int only_with_adapter(const mr_trainer *t, bool state)
{
    static const char *const keys[] = {"rank", "alpha", "targets", "precision"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] - state; i++)
        if (mr_settings_find(&t->cfg->given, keys[i]))
            return mr_fail(MR_EINVAL, "%s belongs to another adapter: add adapter=lora", keys[i]);
    return 0;
}

int mr_trainer_tuning(mr_trainer *t)
{
    const struct mr_train_config *cfg = t->cfg;
    const struct mr_value *dropout = mr_settings_find(&cfg->model, "dropout");
    t->tuning = (struct mr_tuning){.train_only = cfg->train_only};
    if (!cfg->adapter || strcmp(cfg->adapter, "none") == 0)
        return only_with_adapter(t, false);
    bool state = strcmp(cfg->adapter, "state") == 0;
    if (strcmp(cfg->adapter, "lora") != 0 && !state)
        return mr_fail(MR_EINVAL, "adapter must be none, lora or state, not '%s'", cfg->adapter);
    if (cfg->rank < 1 || cfg->rank > 4096 || !(cfg->alpha > 0 && cfg->alpha < 1e6))
        return mr_fail(MR_EINVAL, "rank %d, alpha %g: rank must be 1 to 4096, alpha above 0", cfg->rank, cfg->alpha);
    if (strcmp(cfg->init_from, "scratch") == 0)
        return mr_fail(MR_EINVAL, "an adapter needs a model: add init_from=MODEL");
    t->tuning.state = state;
    if (state)
        return only_with_adapter(t, true);
    t->tuning.rank = cfg->rank;
    t->tuning.alpha = cfg->alpha;
    t->tuning.targets = cfg->targets;
    t->tuning.dropout = dropout ? mr_value_number(dropout) : 0;
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static int read_one(mr_trainer *t, mr_tensor_file *file, const struct mr_param *p, int kind)
{
    static const char *const formats[] = {"%s", "adamw.m.%s", "adamw.v.%s"};
    char name[MR_NAME + 16];
    snprintf(name, sizeof name, formats[kind], p->name);
    int64_t at = mr_tensor_file_find(file, name);
    if (at < 0 || mr_tensor_elements(&file->tensors[at]) != (int64_t)p->count)
        return mr_fail(MR_EFILE, "%s: it has no %s of %zu numbers: was it trained with other targets or another rank?",
                       file->path, name, p->count);
    float *values = mr_alloc(p->count, sizeof *values);
    int err = values ? mr_tensor_file_read_f32(file, (size_t)at, 0, p->count, values) : MR_ENOMEM;
    const mr_tensor *to = kind == 0 ? &p->value : &t->moments[kind - 1].list[p->index];
    if (!err)
        err = mr_write(t->rt, to, 0, p->count, values);
    free(values);
    return err;
}

int mr_trainer_read_adapter(mr_trainer *t, const char *path)
{
    const struct mr_params *params = &t->model->params;
    mr_tensor_file *file;
    int err = 0;
    MR_TRY(mr_tensor_source_open(&file, path));
    for (int kind = 0; kind < (t->cfg->eval_only ? 1 : 3); kind++)
        for (int i = 0; i < params->count && !err; i++)
            if (!params->list[i]->frozen)
                err = read_one(t, file, params->list[i], kind);
    mr_tensor_file_close(file);
    return err;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* The last parts of the names of the layers that have an adapter, each once. */
static json_t *target_modules(const struct mr_params *params)
{
    json_t *list = json_array();
    for (int i = 0; i < params->count; i++) {
        char module[MR_NAME];
        if (!params->list[i]->lora.a)
            continue;
        snprintf(module, sizeof module, "%s", params->list[i]->name);
        *strrchr(module, '.') = 0;
        const char *last = strrchr(module, '.') ? strrchr(module, '.') + 1 : module;
        bool known = false;
        for (size_t k = 0; k < json_array_size(list); k++)
            known = known || strcmp(json_string_value(json_array_get(list, k)), last) == 0;
        if (!known)
            mr_json_push(&list, json_string(last));
    }
    return list;
}

int mr_trainer_adapter_json(const mr_trainer *t, json_t **json)
{
    const struct mr_tuning *tuning = &t->tuning;
    *json = NULL;
    if (!mr_trainer_adapts(t))
        return 0;
    if (tuning->state) {
        *json = json_pack("{ss so}", "peft_type", "STATE", "base_model_name_or_path",
                          mr_json_repaired(t->base, strlen(t->base)));
        return *json ? 0 : mr_fail(MR_ENOMEM, "out of memory for the state's description");
    }
    *json = json_pack("{ss ss so si sf sf so ss sb sb}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                      "base_model_name_or_path", mr_json_repaired(t->base, strlen(t->base)), "r", tuning->rank,
                      "lora_alpha", tuning->alpha, "lora_dropout", tuning->dropout, "target_modules",
                      target_modules(&t->model->params), "bias", "none", "fan_in_fan_out",
                      t->model_cfg.family == MR_GPT2, "inference_mode", 1);
    return *json ? 0 : mr_fail(MR_ENOMEM, "out of memory for the adapter's description");
}

int mr_trainer_write_adapter(const mr_trainer *t)
{
    char path[4096], out[4096];
    if (!mr_trainer_adapts(t))
        return 0;
    snprintf(path, sizeof path, "%s/best.mrw", t->cfg->out_dir);
    snprintf(out, sizeof out, "%s/state.pth", t->cfg->out_dir);
    if (t->tuning.state)
        return mr_initial_state_write(path, out);
    return mr_adapter_convert(path, t->cfg->out_dir, MR_ADAPTER_PEFT, NULL);
}
