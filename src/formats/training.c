/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "formats/config_json.h"

/* ---- which number is which parameter ------------------------------------------------------------------------------
 */

/* Ways in which scripts choose the parameters with weight decay. */
enum choice { AS_DECLARED, MATRICES, ALL, CHOICES };

static bool in_first_group(const struct mr_param *p, int choice)
{
    return choice == ALL || (choice == MATRICES ? p->ndim >= 2 : p->decay);
}

/* Numbers the parameters in `order`, those of the first group first; the size of that group. */
static int assign(const struct mr_params *params, const int *order, int choice, int *numbers)
{
    int next = 0, first = 0;
    for (int group = 0; group < 2; group++) {
        for (int i = 0; i < params->count; i++)
            if (in_first_group(params->list[order[i]], choice) == (group == 0))
                numbers[order[i]] = next++;
        first = group == 0 ? next : first;
    }
    return first;
}

int *mr_torch_numbers(const struct mr_params *params, int *decayed)
{
    int *numbers = mr_alloc((size_t)params->count, sizeof *numbers),
        *order = mr_alloc((size_t)params->count, sizeof *order);
    if (!numbers || !order) {
        free(numbers);
        free(order);
        return NULL;
    }
    for (int i = 0; i < params->count; i++)
        order[i] = i;
    *decayed = assign(params, order, AS_DECLARED, numbers);
    free(order);
    return numbers;
}

static int64_t find_moment(mr_tensor_file *source, int number, int which)
{
    char name[64];
    snprintf(name, sizeof name, "optimizer.state.%d.%s", number, which ? "exp_avg_sq" : "exp_avg");
    return mr_tensor_file_find(source, name);
}

/* Whether every numbered moment has the size of its parameter, and nothing is left over. */
static bool fits(mr_tensor_file *source, const struct mr_params *params, const int *numbers)
{
    for (int i = 0; i < params->count; i++) {
        for (int which = 0; which < 2; which++) {
            int64_t at = find_moment(source, numbers[i], which);
            const struct mr_file_tensor *t = at < 0 ? NULL : &source->tensors[at];
            const struct mr_param *p = params->list[i];
            if (!t || t->ndim != p->ndim || mr_tensor_elements(t) != (int64_t)p->count)
                return false;
            for (int d = 0; d < p->ndim; d++)
                if (t->shape[d] != (int64_t)p->shape[d])
                    return false;
        }
    }
    return find_moment(source, params->count, 0) < 0;
}

struct ranked {
    int64_t place;
    int index;
};

static int by_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The parameters in the order in which the file has them: that of the script's own list. But names in the order of
 * the alphabet were sorted by someone; then the order is that of the declarations. */
static int order_of_file(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_params *params,
                         int *order)
{
    struct ranked *ranked = mr_alloc((size_t)params->count, sizeof *ranked);
    bool sorted = params->count > 1;
    if (!ranked)
        return MR_ENOMEM;
    for (int i = 0; i < params->count; i++)
        ranked[i] = (struct ranked){mr_naming_find(source, naming, params->list[i]->name, NULL), i};
    qsort(ranked, (size_t)params->count, sizeof *ranked, by_place);
    for (int i = 0; i < params->count; i++) {
        order[i] = ranked[i].index;
        sorted = sorted && (i == 0 || strcmp(params->list[order[i - 1]]->name, params->list[order[i]]->name) < 0);
    }
    for (int i = 0; sorted && i < params->count; i++)
        order[i] = i;
    free(ranked);
    return 0;
}

/* The size of the optimizer's first group, or -1 where there are not one or two groups. */
static int64_t first_group(const mr_tensor_file *source)
{
    const json_t *groups = json_object_get(json_object_get(source->metadata, "optimizer"), "param_groups");
    size_t count = json_array_size(groups);
    return count < 1 || count > 2 ? -1 : (int64_t)json_array_size(json_object_get(json_array_get(groups, 0), "params"));
}

static int open_torch(struct mr_moments *m, mr_tensor_file *source, const struct mr_naming *naming,
                      const struct mr_params *params)
{
    int *order = mr_alloc((size_t)params->count, sizeof *order);
    m->numbers = mr_alloc((size_t)params->count, sizeof *m->numbers);
    int err = order && m->numbers ? order_of_file(source, naming, params, order) : MR_ENOMEM;
    int64_t wanted = first_group(source);
    m->unknown = true;
    for (int choice = 0; !err && m->unknown && choice < CHOICES; choice++) {
        m->decayed = assign(params, order, choice, m->numbers);
        m->unknown = (wanted >= 0 && m->decayed != wanted) || !fits(source, params, m->numbers);
    }
    free(order);
    m->kind = m->unknown ? MR_MOMENTS_NONE : MR_MOMENTS_TORCH;
    return err;
}

int mr_moments_open(struct mr_moments *m, mr_tensor_file *source, const struct mr_naming *naming,
                    const struct mr_params *params)
{
    *m = (struct mr_moments){0};
    if (!params->count)
        return 0;
    for (int i = 0; i < params->count; i++) {
        char name[MR_NAME + 16];
        snprintf(name, sizeof name, "adamw.m.%s", params->list[i]->name);
        if (mr_tensor_file_find(source, name) >= 0) {
            m->kind = MR_MOMENTS_OWN;
            return 0;
        }
    }
    return find_moment(source, 0, 0) < 0 ? 0 : open_torch(m, source, naming, params);
}

void mr_moments_free(struct mr_moments *m)
{
    free(m->numbers);
    *m = (struct mr_moments){0};
}

int64_t mr_moments_find(const struct mr_moments *m, mr_tensor_file *source, const struct mr_params *params, int index,
                        int which)
{
    char name[MR_NAME + 16];
    if (m->kind == MR_MOMENTS_NONE)
        return -1;
    if (m->kind == MR_MOMENTS_TORCH)
        return find_moment(source, m->numbers[index], which);
    snprintf(name, sizeof name, "adamw.%c.%s", "mv"[which], params -> list[index] -> name);
    return mr_tensor_file_find(source, name);
}

/* ---- the training state ---------------------------------------------------------------------------------------------
 */

void mr_training_free(struct mr_training *training)
{
    mr_settings_free(&training->given);
    free(training->base);
    *training = (struct mr_training){0};
}

json_t *mr_training_to_json(const struct mr_training *t)
{
    json_t *given = mr_settings_to_json(&t->given);
    if (!given)
        return NULL;
    json_t *json = json_pack("{sI sI sI sI so sI ss* so sb ss* so*}", "iter", (json_int_t)t->iter, "micro_step",
                             (json_int_t)t->micro_step, "optimizer_steps", (json_int_t)t->optimizer_steps, "seed",
                             (json_int_t)t->seed, "best_val_loss", mr_json_real(t->best_val_loss), "best_iter",
                             (json_int_t)t->best_iter, "gemm_table", *t->gemm_table ? t->gemm_table : NULL, "given",
                             given, "weights_only", t->weights_only, "base", t->base, "ranks",
                             t->ranks > 1 ? json_integer(t->ranks) : NULL);
    if (!json)
        mr_fail(MR_ENOMEM, "out of memory for the training state");
    return json;
}

/* The state of a run of a training script for torch. */
static int from_script(mr_tensor_file *source, struct mr_training *t)
{
    const json_t *config = json_object_get(source->metadata, "config");
    int64_t step_at = mr_tensor_file_find(source, "optimizer.state.0.step"), accumulation, seed;
    MR_TRY(mr_json_int(source->metadata, "iter_num", 0, INT64_MAX >> 32, &t->iter));
    float steps = (float)t->iter;
    if (step_at >= 0 && mr_tensor_elements(&source->tensors[step_at]) == 1)
        MR_TRY(mr_tensor_file_read_f32(source, (size_t)step_at, 0, 1, &steps));
    MR_TRY(mr_json_int_or(config, "gradient_accumulation_steps", 1, 1 << 30, 1, &accumulation));
    MR_TRY(mr_json_int_or(config, "seed", 0, INT64_MAX, 1337, &seed));
    MR_TRY(mr_json_number_or(source->metadata, "best_val_loss", INFINITY, &t->best_val_loss));
    t->micro_step = (uint64_t)(t->iter * accumulation);
    t->optimizer_steps = steps >= 0 && steps < 1e15f ? (int64_t)steps : 0;
    t->seed = (uint64_t)seed;
    t->best_iter = t->iter;
    t->ranks = 1;
    t->weights_only = find_moment(source, 0, 0) < 0;
    return mr_settings_from_json(&t->given, config);
}

static int from_own(const json_t *json, struct mr_training *t)
{
    int64_t micro_step, seed;
    const char *table, *base;
    MR_TRY(mr_json_int(json, "iter", 0, INT64_MAX, &t->iter));
    MR_TRY(mr_json_int(json, "micro_step", 0, INT64_MAX, &micro_step));
    MR_TRY(mr_json_int(json, "optimizer_steps", 0, INT64_MAX, &t->optimizer_steps));
    MR_TRY(mr_json_int(json, "seed", INT64_MIN, INT64_MAX, &seed));
    MR_TRY(mr_json_number(json, "best_val_loss", &t->best_val_loss));
    MR_TRY(mr_json_int_or(json, "best_iter", 0, INT64_MAX, t->iter, &t->best_iter));
    MR_TRY(mr_json_bool_or(json, "weights_only", false, &t->weights_only));
    MR_TRY(mr_json_int_or(json, "ranks", 1, 1 << 30, 1, &t->ranks));
    MR_TRY(mr_json_string_or(json, "gemm_table", "", &table));
    MR_TRY(mr_json_string_or(json, "base", "", &base));
    if (*base && !(t->base = mr_strdup(base)))
        return MR_ENOMEM;
    t->micro_step = (uint64_t)micro_step;
    t->seed = (uint64_t)seed;
    snprintf(t->gemm_table, sizeof t->gemm_table, "%s", table);
    return mr_settings_from_json(&t->given, json_object_get(json, "given"));
}

static bool has_own(const mr_tensor_file *source)
{
    return json_is_object(json_object_get(source->metadata, "training"));
}

int mr_training_read(mr_tensor_file *source, struct mr_training *t, bool *found)
{
    bool own = has_own(source);
    *t = (struct mr_training){0};
    *found = own || json_is_integer(json_object_get(source->metadata, "iter_num"));
    if (!*found)
        return 0;
    int err = own ? from_own(json_object_get(source->metadata, "training"), t) : from_script(source, t);
    if (err)
        mr_training_free(t);
    return err;
}

int mr_training_json_of(mr_tensor_file *source, json_t **json)
{
    struct mr_training t;
    bool found;
    *json = NULL;
    if (has_own(source)) {
        *json = json_incref(json_object_get(source->metadata, "training"));
        return 0;
    }
    MR_TRY(mr_training_read(source, &t, &found));
    if (!found)
        return 0;
    *json = mr_training_to_json(&t);
    mr_training_free(&t);
    return *json ? 0 : MR_ENOMEM;
}
