/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a file will hold: its tensors, how each is made of the source's, and in which number format. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/export_plan.h"
#include "formats/fla.h"
#include "formats/gguf.h"
#include "formats/gguf_export.h"
#include "formats/transformer_config.h"
#include "model/model.h"
#include "formats/training.h"
#include "model/layer.h"

int mr_export_note(struct mr_export *e, const char *format, ...)
{
    char text[600];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    struct mr_str note = {0};
    MR_TRY(mr_utf8_repair(text, strlen(text), &note, NULL));
    int err = mr_grow(&e->notes, &e->note_capacity, e->note_count + 1, sizeof *e->notes);
    if (err)
        mr_str_free(&note);
    else
        e->notes[e->note_count++] = note.text;
    return err;
}

void mr_export_free(struct mr_export *e)
{
    mr_params_free(&e->params);
    free(e->outputs);
    free(e->tensors);
    json_decref(e->metadata);
    json_decref(e->config);
    for (size_t i = 0; i < e->note_count; i++)
        free(e->notes[i]);
    free(e->notes);
    *e = (struct mr_export){0};
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

struct mr_output *mr_export_add(struct mr_export *e, const char *name, int kind)
{
    if (e->count == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 256;
        struct mr_output *outputs = mr_realloc(e->outputs, capacity, sizeof *outputs);
        if (!outputs)
            return NULL;
        e->outputs = outputs;
        struct mr_file_tensor *tensors = mr_realloc(e->tensors, capacity, sizeof *tensors);
        if (!tensors)
            return NULL;
        e->tensors = tensors;
        e->capacity = capacity;
    }
    struct mr_output *o = &e->outputs[e->count];
    memset(o, 0, sizeof *o);
    o->kind = kind;
    snprintf(o->name, sizeof o->name, "%s", name);
    e->tensors[e->count] = (struct mr_file_tensor){.dtype = MR_DTYPE_F32, .shares = -1};
    e->count++;
    return o;
}

static struct mr_output *find_output(struct mr_export *e, const char *name)
{
    for (size_t i = e->count; i-- > 0;)
        if (strcmp(e->outputs[i].name, name) == 0)
            return &e->outputs[i];
    return NULL;
}

/* What rwkv programs quantise: matrices, but not the embedding, the head and RWKV-7's low-rank pairs. */
static bool quantises(const struct mr_config *cfg, int target, const struct mr_param *p)
{
    if (target == MR_TARGET_GGUF)
        return !mr_gguf_keeps_f32(p);
    const struct mr_family *family = mr_family(cfg);
    const char *const never[] = {family->embedding, family->positions, family->head}, *leaf = strrchr(p->name, '.');
    for (int i = 0; i < 3; i++)
        if (never[i] && strcmp(p->name, never[i]) == 0)
            return false;
    if (p->ndim != 2 || !leaf)
        return false;
    if (strcmp(leaf, ".weight") == 0)
        return true;
    return mr_family(cfg)->rwkv == 6 && (strstr(p->name, "_w1") || strstr(p->name, "_w2"));
}

/* .bin keeps vectors and time_* in f32. */
static bool bin_keeps_f32(const struct mr_param *p)
{
    const char *leaf = strrchr(p->name, '.');
    return p->ndim != 2 || strstr(p->name, ".time_") || (leaf && strcmp(leaf, ".r_k") == 0);
}

/* `natural`: the source's format; -1 where the numbers are not the source's own (a logarithm, transposed blocks). */
static int choose_dtype(struct mr_export_planner *pl, const struct mr_param *p, int natural, int64_t row)
{
    int target = pl->options->target, wanted = pl->options->dtype, dtype = wanted >= 0 ? wanted : natural;
    bool asked = wanted >= 0 && mr_dtype_block((enum mr_dtype)wanted) > 1;
    if (target == MR_TARGET_GGUF && wanted >= 0)
        dtype = mr_gguf_quantised(p, wanted);
    if (asked && !quantises(&pl->e->cfg, target, p))
        dtype = natural;
    else if (asked && row % (int64_t)mr_dtype_block((enum mr_dtype)wanted))
        dtype = natural, pl->odd_rows++;
    if (dtype < 0 || (target == MR_TARGET_GGUF && mr_gguf_keeps_f32(p)))
        return MR_DTYPE_F32;
    if (dtype >= MR_DTYPE_F64 && dtype < MR_DTYPE_Q4_0 && target != MR_TARGET_MRW && dtype != MR_DTYPE_F64)
        return MR_DTYPE_F32;
    if (target == MR_TARGET_BIN && mr_dtype_block((enum mr_dtype)dtype) == 1 && bin_keeps_f32(p))
        return MR_DTYPE_F32;
    if (!mr_target_holds(target, (enum mr_dtype)dtype) || row % (int64_t)mr_dtype_block((enum mr_dtype)dtype)) {
        pl->widened[dtype]++;
        return MR_DTYPE_F32;
    }
    return dtype;
}

int mr_export_drop_ones(int64_t *shape, int ndim)
{
    int n = 0;
    for (int i = 0; i < ndim; i++)
        if (shape[i] != 1)
            shape[n++] = shape[i];
    if (!n)
        shape[n++] = 1;
    return n;
}

/* .bin has time_* without dimensions of 1, but decays and boni by head as columns. */
static int bin_shape(const struct mr_export_planner *pl, const struct mr_param *p, int64_t *shape, int ndim)
{
    const struct mr_config *cfg = &pl->e->cfg;
    const char *leaf = strrchr(p->name, '.');
    if (!strstr(p->name, ".time_") || !leaf)
        return ndim;
    bool by_head = !strcmp(leaf, ".time_decay") || !strcmp(leaf, ".time_faaaa") || !strcmp(leaf, ".time_first");
    if (by_head && mr_family(cfg)->heads_by_size) {
        shape[0] = mr_head_count(cfg);
        shape[1] = (int64_t)p->count / shape[0];
        shape[2] = 1;
        return 3;
    }
    return mr_export_drop_ones(shape, ndim);
}

static int shape_of(const struct mr_export_planner *pl, const struct mr_param *p, const struct mr_place *place,
                    int64_t *shape)
{
    int ndim = p->ndim;
    for (int i = 0; i < ndim; i++)
        shape[i] = (int64_t)p->shape[i];
    if (place->change == MR_TRANSPOSED && ndim >= 2) {
        shape[ndim - 1] = (int64_t)p->shape[ndim - 2];
        shape[ndim - 2] = (int64_t)p->shape[ndim - 1];
    }
    if (pl->e->layout == MR_LAYOUT_BIN)
        ndim = bin_shape(pl, p, shape, ndim);
    if (pl->e->layout == MR_LAYOUT_FLA)
        return mr_fla_shape(p, shape, ndim);
    if (pl->e->layout == MR_LAYOUT_GGUF)
        return mr_gguf_shape(p, place, shape, ndim);
    if (place->change == MR_JOINED) { /* (6,1,C) */
        shape[0] = place->parts;
        shape[1] = 1;
        shape[2] = (int64_t)p->count;
        ndim = 3;
    }
    return ndim;
}

/* The recipe's change from the parameter to the target, behind that from the source to the parameter. */
static void compose(struct mr_recipe *r, const struct mr_place *place, const struct mr_param *p)
{
    if (place->change == MR_TRANSPOSED && p->ndim >= 2) {
        bool back = r->rows > 0; /* transposed there and here: as it is */
        r->rows = back ? 0 : p->shape[p->ndim - 2];
        r->columns = back ? 0 : p->shape[p->ndim - 1];
    } else if (place->change == MR_EXP || place->change == MR_NEGATIVE_EXP || place->change == MR_EXP_NEGATIVE_EXP) {
        r->apply = place->change;
    }
    if (r->undo == r->apply)
        r->undo = r->apply = MR_SAME;
}

/* The format of the source's numbers, if they can be taken as they are. */
static int natural_dtype(const struct mr_export_planner *pl, const struct mr_recipe *r)
{
    enum mr_dtype dtype = pl->source->tensors[r->tensor].dtype;
    bool blocks = mr_dtype_block(dtype) > 1;
    if (!r->count || r->undo || r->apply || (blocks && r->rows))
        return -1;
    return (int)dtype;
}

static int add_weight(struct mr_export_planner *pl, int index)
{
    struct mr_export *e = pl->e;
    const struct mr_param *named = e->params.list[index], *p = mr_gguf_stands_for(pl->e, named);
    struct mr_place from, to;
    struct mr_recipe recipe = {0};
    char name[sizeof e->outputs->name];
    int64_t at = mr_naming_find(pl->source, pl->naming, p->name, &from);
    if (!mr_layout_place(pl->rules, named->name, 0, &to))
        return mr_fail(MR_EINVAL, "the layout %s has no name for %s", mr_target_name(e->target), named->name);
    if (at >= 0)
        MR_TRY(mr_recipe_of(&recipe, pl->source, (size_t)at, &from, p));
    compose(&recipe, &to, p);
    snprintf(name, sizeof name, "%s%s", e->target == MR_TARGET_NANOGPT ? "model." : "", to.name);
    struct mr_output *o = to.change == MR_JOINED ? find_output(e, name) : NULL;
    if (!o) {
        if (!(o = mr_export_add(e, name, MR_OUTPUT_WEIGHT)))
            return MR_ENOMEM;
        struct mr_file_tensor *t = &e->tensors[e->count - 1];
        t->ndim = shape_of(pl, p, &to, t->shape);
        t->dtype = (enum mr_dtype)choose_dtype(pl, p, natural_dtype(pl, &recipe), t->ndim ? t->shape[t->ndim - 1] : 1);
        o->parts = to.change == MR_JOINED ? to.parts : 1;
    }
    o->param[to.part] = index;
    o->recipe[to.part] = recipe;
    o->count[to.part] = p->count;
    return 0;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

/* A .mrw of a .bin keeps its names and forms, so that nothing is lost between the two. */
static int layout_of(const struct mr_config *cfg, int target, const struct mr_naming *source)
{
    static const char *const hints[] = {[MR_TARGET_HF] = "gpt2, opt, gptneo, gptneox, rwkv4, rwkv5 and rwkv6",
                                        [MR_TARGET_RWKV] = "rwkv4, rwkv5, rwkv6 and rwkv7",
                                        [MR_TARGET_NANOGPT] = "microrwkv, nanorwkv and gpt2",
                                        [MR_TARGET_BIN] = "rwkv4, rwkv5, rwkv6 and rwkv7",
                                        [MR_TARGET_ST] = "rwkv4, rwkv5, rwkv6 and rwkv7",
                                        [MR_TARGET_GGUF] = "gpt2, rwkv6 and rwkv7",
                                        [MR_TARGET_FLA] = "rwkv7"};
    bool rwkv = mr_family(cfg)->rwkv;
    switch (target) {
    case MR_TARGET_HF:
        if (mr_family(cfg)->parts.out)
            return mr_is_gpt2(cfg) ? MR_LAYOUT_HF_GPT2 : MR_LAYOUT_OWN;
        if (rwkv && mr_family(cfg)->rwkv <= 6 && !cfg->rwkv51)
            return MR_LAYOUT_HF_RWKV;
        break;
    case MR_TARGET_RWKV:
    case MR_TARGET_BIN:
        if (rwkv)
            return target == MR_TARGET_BIN ? MR_LAYOUT_BIN : MR_LAYOUT_OWN;
        break;
    case MR_TARGET_ST:
        if (rwkv && !cfg->rwkv51)
            return MR_LAYOUT_ST;
        break;
    case MR_TARGET_FLA:
        if (mr_family(cfg)->rwkv == 7)
            return MR_LAYOUT_FLA;
        break;
    case MR_TARGET_GGUF:
        if (mr_is_gpt2(cfg))
            MR_TRY(mr_gpt2_is_usual(cfg, true));
        if (mr_gguf_rules(cfg))
            return MR_LAYOUT_GGUF;
        break;
    case MR_TARGET_NANOGPT:
        if (mr_is_gpt2(cfg))
            MR_TRY(mr_gpt2_is_usual(cfg, false));
        if (!rwkv && (mr_is_gpt2(cfg) || !mr_family(cfg)->parts.out))
            return MR_LAYOUT_OWN;
        break;
    case MR_TARGET_MRW:
        return source->layout == MR_LAYOUT_BIN ? MR_LAYOUT_BIN : MR_LAYOUT_OWN;
    default:
        return MR_LAYOUT_OWN;
    }
    return mr_fail(MR_EINVAL,
                   "the layout %s has no names for %s%s: it is for %s; .mrw and .safetensors hold every family",
                   mr_target_name(target), mr_family_name(cfg->family), cfg->rwkv51 ? " (5.1)" : "", hints[target]);
}

static int add_tied_head(struct mr_export_planner *pl)
{
    struct mr_export *e = pl->e;
    struct mr_output *wte = find_output(e, "model.transformer.wte.weight");
    if (e->target != MR_TARGET_NANOGPT || !wte)
        return 0;
    size_t at = (size_t)(wte - e->outputs);
    if (!mr_export_add(e, "model.lm_head.weight", MR_OUTPUT_SHARED))
        return MR_ENOMEM;
    e->tensors[e->count - 1] = e->tensors[at];
    e->tensors[e->count - 1].shares = (int64_t)at;
    return 0;
}

/* Tensors of the source that are no part of the model. */
static int note_others(struct mr_export_planner *pl)
{
    char list[300] = "";
    int count = 0;
    size_t prefix = strlen(pl->naming->prefix);
    for (size_t i = 0; i < pl->source->count; i++) {
        const char *name = pl->source->tensors[i].name;
        bool ours = strncmp(name, "adamw.", 6) == 0 || strncmp(name, "optimizer.", 10) == 0 ||
                    strcmp(name, "best_val_loss") == 0;
        bool part = strncmp(name, pl->naming->prefix, prefix) == 0 && mr_is_model_name(pl->naming, name + prefix);
        if (ours || part)
            continue;
        if (count++ < 4)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.60s", count > 1 ? ", " : "", name);
    }
    return count ? mr_export_note(pl->e, "%d tensors that are no part of the model: %s%s", count, list,
                                  count > 4 ? ", …" : "")
                 : 0;
}

/* Logarithms cost digits. */
static int note_forms(struct mr_export_planner *pl)
{
    const char *form = NULL;
    int count = 0;
    for (size_t i = 0; i < pl->e->count; i++) {
        const struct mr_recipe *r = &pl->e->outputs[i].recipe[0];
        int change = r->apply ? r->apply : r->undo;
        if (!change)
            continue;
        form = change == MR_EXP ? "exp(x)" : change == MR_NEGATIVE_EXP ? "-exp(x)" : "exp(-exp(x))";
        count++;
    }
    return count ? mr_export_note(pl->e, "the last digits of %d vectors: .bin files hold %s where other files hold x",
                                  count, form)
                 : 0;
}

static int note_dtypes(struct mr_export_planner *pl)
{
    for (int i = 0; i < MR_DTYPES; i++)
        if (pl->widened[i])
            MR_TRY(mr_export_note(pl->e, "%s of %d tensors, which become f32: %s cannot hold them so",
                                  mr_dtype_name((enum mr_dtype)i), pl->widened[i], mr_target_name(pl->e->target)));
    if (pl->odd_rows)
        return mr_export_note(pl->e, "%d matrices are not quantised: their rows are not whole blocks of 32",
                              pl->odd_rows);
    return 0;
}

static int plan(struct mr_export_planner *pl)
{
    struct mr_export *e = pl->e;
    int layout = layout_of(&e->cfg, e->target, pl->naming), dtype = pl->options->dtype;
    if (layout < 0)
        return layout;
    e->layout = layout;
    if (dtype >= 0 && !mr_target_holds(e->target, (enum mr_dtype)dtype))
        return mr_fail(MR_EINVAL, "the layout %s cannot hold %s", mr_target_name(e->target),
                       mr_dtype_name((enum mr_dtype)dtype));
    pl->rules = mr_layout_rules(layout, &e->cfg);
    MR_TRY(mr_model_declare(&e->params, &e->cfg));
    MR_TRY(mr_check_names(pl->source, pl->naming, &e->params, &e->cfg));
    MR_TRY(mr_moments_open(&pl->moments, pl->source, pl->naming, &e->params));
    for (int i = 0; i < e->params.count; i++)
        if (layout != MR_LAYOUT_FLA || !mr_may_be_missing(&e->cfg, e->params.list[i]->name))
            MR_TRY(add_weight(pl, i));
    MR_TRY(mr_gguf_add_biases(pl->e));
    MR_TRY(note_forms(pl));
    MR_TRY(add_tied_head(pl));
    MR_TRY(mr_plan_states(pl));
    MR_TRY(mr_plan_moments(pl));
    MR_TRY(mr_plan_best_loss(pl));
    MR_TRY(note_dtypes(pl));
    MR_TRY(note_others(pl));
    for (size_t i = 0; i < e->count; i++)
        e->tensors[i].name = e->outputs[i].name;
    return mr_export_metadata(e, pl->source, pl->options);
}

int mr_export_plan(struct mr_export *e, mr_tensor_file *source, const struct mr_naming *naming,
                   const struct mr_config *cfg, const struct mr_export_options *options)
{
    struct mr_export_planner pl = {.e = e, .source = source, .naming = naming, .options = options};
    *e = (struct mr_export){.target = options->target, .cfg = *cfg, .saturate = options->saturate};
    int err = plan(&pl);
    mr_moments_free(&pl.moments);
    if (err)
        mr_export_free(e);
    return err;
}
