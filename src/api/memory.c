/* SPDX-License-Identifier: GPL-3.0-or-later
 * The memory plan of a model, without a device. */
#include <limits.h>
#include <string.h>

#include "base/options.h"
#include "base/file.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "microrwkv/microrwkv.h"
#include "model/memory.h"
#include "model/sizes.h"

void mr_memory_defaults(struct mr_memory_options *options, size_t size)
{
    const struct mr_memory_options defaults = {.texts = 1};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

static int need_of(struct mr_memory_need *need, const struct mr_config *cfg, const struct mr_memory_options *o)
{
    if (o->texts < 1 || o->texts > 1 << 16)
        return mr_fail(MR_EINVAL, "%d texts at a time: at least 1, at most 65536", o->texts);
    if (o->training) {
        MR_TRY(mr_model_check_trainable(cfg));
        need->workspace = (struct mr_workspace_options){
            .batch = o->texts, .time = cfg->block_size, .training = true, .recompute = o->recompute};
        need->optimizer = true;
    } else if (mr_states_possible(cfg)) {
        mr_decoding_options(&need->workspace, cfg, o->texts);
        need->slots = o->texts;
    } else { /* the last block is read again for every token, one text after the other */
        need->workspace = (struct mr_workspace_options){.batch = 1, .time = cfg->block_size, .logits = 1};
    }
    return 0;
}

static int give(const mr_plan *plan, struct mr_memory_use *use)
{
    struct mr_memory_use u = {.size = sizeof u};
    u.parameters = mr_plan_bytes(plan, MR_PARAMETERS);
    u.gradients = mr_plan_bytes(plan, MR_GRADIENTS);
    u.moments = mr_plan_bytes(plan, MR_MOMENTS) + mr_plan_bytes(plan, MR_SECOND_MOMENTS);
    u.activations = mr_plan_bytes(plan, MR_ACTIVATIONS) + mr_plan_bytes(plan, MR_RECOMPUTED);
    u.scratch = mr_plan_bytes(plan, MR_SCRATCH);
    u.state = mr_plan_bytes(plan, MR_STATE);
    u.buffers = mr_plan_bytes(plan, MR_BUFFERS);
    u.total = u.parameters + u.gradients + u.moments + u.activations + u.scratch + u.state + u.buffers;
    return mr_give_result(use, &u, sizeof u, "mr_memory_use");
}

static int plan_model(const char *model, const struct mr_settings *overrides, const struct mr_memory_options *o,
                      struct mr_memory_use *use)
{
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_precision precision = {.naming = &naming, .wanted = MR_F32};
    struct mr_memory_need need = {.choose = mr_precision_choose, .context = &precision};
    mr_plan *plan = NULL;
    int err;
    bool by_name = !mr_is_file(model) && !mr_is_folder(model) && mr_is_model_word(model);
    if (!o->training)
        MR_TRY(mr_precision_by_name(o->precision, &precision.wanted));
    MR_GO(by_name ? mr_config_by_name(&cfg, model, overrides)
                  : mr_model_open_file(&precision.source, model, overrides, &cfg, &naming));
    MR_GO(need_of(&need, &cfg, o));
    MR_GO(mr_memory_plan(&plan, &cfg, &need, NULL));
    err = give(plan, use);
fail:
    mr_plan_free(plan);
    mr_tensor_file_close(precision.source);
    return err;
}

int mr_model_memory(const char *model, const struct mr_memory_options *options, struct mr_memory_use *use)
{
    struct mr_memory_options o;
    struct mr_settings overrides = {0};
    mr_memory_defaults(&o, sizeof o);
    MR_TRY(mr_take_options(&o, sizeof o, options, "mr_memory_options"));
    int err = mr_config_words(o.config, &overrides);
    if (!err)
        err = plan_model(model, &overrides, &o, use);
    mr_settings_free(&overrides);
    return err;
}
