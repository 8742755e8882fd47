/* SPDX-License-Identifier: GPL-3.0-or-later
 * The update of an iteration, all on the device: the gradients' global norm, the clip factor, AdamW over whole segments
 * of memory; and what the host reads of it. */
#include "ops/adamw.h"
#include "rt/plan.h"
#include "train/trainer.h"

int mr_trainer_optimizer_open(mr_trainer *t)
{
    int segments;
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &segments);
    t->partial_count = 0;
    for (int i = 0; i < segments; i++)
        t->partial_count += (int)mr_square_sum_partials(grad[i].count);
    MR_TRY(mr_tensor_alloc(t->rt, &t->norm_partials, MR_F32, (size_t)t->partial_count));
    MR_TRY(mr_tensor_alloc(t->rt, &t->grad_norm, MR_F32, 1));
    MR_TRY(mr_tensor_alloc(t->rt, &t->loss, MR_F32, 1));
    MR_TRY(mr_tensor_alloc(t->rt, &t->report, MR_F32, 4));
    return mr_tensor_alloc(t->rt, &t->clip, MR_F32, 1);
}

void mr_trainer_optimizer_close(mr_trainer *t)
{
    mr_tensor_free(t->rt, &t->clip);
    mr_tensor_free(t->rt, &t->report);
    mr_tensor_free(t->rt, &t->loss);
    mr_tensor_free(t->rt, &t->grad_norm);
    mr_tensor_free(t->rt, &t->norm_partials);
}

/* The norm of the gradients and the clip factor, which stops the update where loss or norm is not finite. */
static int clip_gradients(mr_trainer *t)
{
    int segments, at = 0;
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &segments);
    MR_TRY(mr_trainer_norm_of_parts(t));
    for (int i = 0; i < segments && !t->parts; i++) {
        MR_TRY(mr_square_sum(t->rt, &grad[i], 0, grad[i].count, &t->norm_partials, (size_t)at));
        at += (int)mr_square_sum_partials(grad[i].count);
    }
    MR_TRY(mr_clip_factor(t->rt, &t->norm_partials, (size_t)t->partial_count, (float)t->cfg->grad_clip, &t->grad_norm,
                          &t->clip));
    return mr_guard_update(t->rt, &t->loss, &t->grad_norm, &t->clip, &t->report);
}

/* A group's parameters within a segment lie one behind the other: from *first to *end. */
static int group_range(const mr_trainer *t, int group, int segment, size_t *first, size_t *end)
{
    const struct mr_params *params = &t->model->params;
    *first = SIZE_MAX;
    *end = 0;
    for (int i = 0; i < params->count; i++) {
        const struct mr_param *p = params->list[i];
        int at;
        size_t offset;
        if (mr_param_group(p) != group)
            continue;
        MR_TRY(mr_arena_place(t->model->arena, &p->value, &at, &offset));
        if (at != segment)
            continue;
        *first = offset < *first ? offset : *first;
        *end = offset + p->count > *end ? offset + p->count : *end;
    }
    return 0;
}

int mr_trainer_update(mr_trainer *t, double lr)
{
    const struct mr_train_config *cfg = t->cfg;
    int segments;
    mr_param_set_segments(&t->gradients, &segments);
    MR_TRY(clip_gradients(t));
    t->optimizer_steps++;
    for (int i = 0; i < segments; i++) {
        const struct mr_part part = mr_trainer_part(t, i);
        for (int group = 0; group < MR_PARAM_TRAINED_GROUPS; group++) {
            const struct mr_adamw step = {.lr = group > 1 ? group * lr : lr,
                                          .beta1 = cfg->beta1,
                                          .beta2 = cfg->beta2,
                                          .eps = cfg->adam_eps,
                                          .weight_decay = group ? 0 : (float)cfg->weight_decay,
                                          .step = t->optimizer_steps};
            size_t first, end;
            MR_TRY(group_range(t, group, i, &first, &end));
            first = first > part.first ? first : part.first;
            end = end < part.end ? end : part.end;
            if (first < end)
                MR_TRY(mr_adamw(t->rt, &step, &part.value, &part.grad, &part.moments[0], &part.moments[1],
                                first - part.first, end - first, &t->clip));
        }
    }
    return mr_trainer_spread(t);
}

int mr_trainer_look(mr_trainer *t, float *loss, float *grad_norm, bool *bad)
{
    float report[4];
    MR_TRY(mr_read(t->rt, &t->report, 0, 4, report));
    int64_t good = (int64_t)report[2];
    *loss = report[0];
    *grad_norm = report[1];
    *bad = good < t->unread;
    t->unread = 0;
    if (!*bad)
        return 0;
    t->iter = t->seen.iter + good;
    t->optimizer_steps = t->seen.optimizer_steps + good;
    t->micro_step = t->seen.micro_step + (uint64_t)good * (uint64_t)t->cfg->gradient_accumulation_steps;
    return 0;
}
