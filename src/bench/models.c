/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/models.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "formats/load.h"
#include "formats/overrides.h"
#include "model/layer.h"
#include "model/memory.h"
#include "model/sizes.h"
#include "rt/host_memory.h"

/* Names beside those of `new`: variants, and groups of models that are shown together. */
static const struct alias {
    const char *name, *models, *about;
} aliases[] = {
    {"microrwkv-reference", "microrwkv:mode=reference", "rereads its block for every token, as published"},
    {"small", "microrwkv,nanorwkv,rwkv4-169m,rwkv5-0b1,rwkv7-0b1,gpt2,opt-125m,gpt-neo-125m,pythia-160m",
     "one of each family, 0.1 to 0.2 billion"},
    {"medium", "rwkv4-430m,rwkv5-0b4,rwkv7-0b4,gpt2-medium", "0.4 billion parameters"},
    {"large", "rwkv4-1b5,rwkv5-1b5,rwkv6-1b6,rwkv7-1b5,gpt2-xl", "1.5 billion parameters"},
    {"published",
     "microrwkv,rwkv4-169m,rwkv4-430m,rwkv4-1b5,rwkv4-3b,gpt2,gpt2-medium,gpt2-large,gpt2-xl,opt-125m,"
     "opt-1.3b,opt-2.7b,gpt-neo-125m,gpt-neo-1.3b,gpt-neo-2.7b,pythia-160m,pythia-410m,pythia-1.4b,pythia-2.8b",
     "those of the published picture"},
};
#define ALIASES ((int)(sizeof aliases / sizeof aliases[0]))

struct models {
    struct mr_bench_model *list;
    size_t count, capacity;
};

static const struct alias *alias_of(const char *word)
{
    for (int i = 0; i < ALIASES; i++)
        if (!strcmp(word, aliases[i].name))
            return &aliases[i];
    return NULL;
}

const char *mr_bench_models_help(int i)
{
    static char line[400];
    const char *sizes =
        "microrwkv nanorwkv gpt2 gpt2-medium gpt2-large gpt2-xl rwkv4-169m to rwkv4-14b,\n  rwkv5-0b1 to "
        "rwkv5-7b, rwkv6-1b6 to rwkv6-14b, rwkv7-0b1 to rwkv7-13b3, opt-125m to opt-2.7b,\n  gpt-neo-125m to "
        "gpt-neo-2.7b, pythia-70m to pythia-2.8b, with "
        "changes: gpt2:n_layer=2";
    if (i < 0 || i > ALIASES)
        return NULL;
    if (!i)
        return sizes;
    snprintf(line, sizeof line, "%-20s %s", aliases[i - 1].name, aliases[i - 1].about);
    return line;
}

/* "name:key=value:key=value", changed in place */
static int configure(char *word, int64_t positions, struct mr_config *cfg)
{
    struct mr_settings changes = {0};
    int err;
    for (char *end = strchr(word, ':'); end;) {
        char *key = end + 1;
        *end = 0;
        if ((end = strchr(key, ':')))
            *end = 0;
        MR_GO(mr_config_word(key, &changes));
    }
    MR_GO(mr_config_by_name(cfg, word, &changes));
    if (mr_states_possible(cfg) && cfg->block_size < positions && !mr_settings_find(&changes, "block_size") &&
        (mr_family(cfg)->whole_block || (mr_family(cfg)->positions && cfg->positions == MR_POSITIONS_LEARNED)))
        cfg->block_size = (int)positions;
fail:
    mr_settings_free(&changes);
    return err;
}

static int add(struct models *m, const char *word, int64_t positions)
{
    MR_TRY(mr_grow(&m->list, &m->capacity, m->count + 1, sizeof *m->list));
    struct mr_bench_model *model = &m->list[m->count];
    *model = (struct mr_bench_model){.label = mr_strdup(word)};
    if (!model->label)
        return MR_ENOMEM;
    m->count++;
    if (mr_is_file(word) || mr_is_folder(word)) {
        model->path = mr_strdup(word);
        return model->path ? mr_model_read_config(word, &model->cfg) : MR_ENOMEM;
    }
    char *copy = mr_strdup(word);
    if (!copy)
        return MR_ENOMEM;
    int err = configure(copy, positions, &model->cfg);
    free(copy);
    return err;
}

static int add_all(struct models *m, const char *words, int64_t positions)
{
    while (*words) {
        char word[4096];
        size_t n = strcspn(words, ",");
        if (n >= sizeof word)
            return mr_fail(MR_EINVAL, "a model's name of %zu bytes is too long", n);
        memcpy(word, words, n);
        word[n] = 0;
        words += n + (words[n] == ',');
        const struct alias *alias = alias_of(word);
        if (!*word)
            return mr_fail(MR_EINVAL, "the list of models has an empty place");
        if (!alias || mr_is_file(word) || mr_is_folder(word)) {
            MR_TRY(add(m, word, positions));
            continue;
        }
        MR_TRY(add_all(m, alias->models, positions));
        if (!strchr(alias->models, ',')) { /* a variant goes by its own name */
            free(m->list[m->count - 1].label);
            if (!(m->list[m->count - 1].label = mr_strdup(word)))
                return MR_ENOMEM;
        }
    }
    return 0;
}

int mr_bench_models(const char *words, int64_t positions, struct mr_bench_model **list, int *count)
{
    struct models m = {0};
    int err = add_all(&m, words, positions);
    if (!err && !m.count)
        err = mr_fail(MR_EINVAL, "no model is named");
    if (err < 0)
        mr_bench_models_free(m.list, (int)m.count);
    *list = err < 0 ? NULL : m.list;
    *count = err < 0 ? 0 : (int)m.count;
    return err;
}

void mr_bench_models_free(struct mr_bench_model *list, int count)
{
    for (int i = 0; i < count; i++) {
        free(list[i].label);
        free(list[i].path);
    }
    free(list);
}

/* ---- on a device ---------------------------------------------------------------------------------------------- */

struct fitting {
    mr_runtime *rt;
    int texts;
};

/* Left for the program itself and the driver where the device's memory is the host's. */
static const size_t margin = (size_t)256 << 20;

static int check_memory(void *context, const struct mr_config *cfg, mr_format_choice *choose, void *chooser)
{
    struct fitting *f = context;
    const struct mr_device_info *info = mr_runtime_info(f->rt);
    struct mr_memory_need need = {.choose = choose, .context = chooser};
    mr_plan *plan = NULL;
    size_t bytes = 0, left = info->memory;
    mr_lm_need(&need, cfg, f->texts);
    MR_TRY(mr_memory_plan(&plan, cfg, &need, f->rt));
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++)
        bytes += mr_plan_bytes(plan, kind);
    mr_plan_free(plan);
    if (info->shares_host_memory) {
        left = mr_host_memory("");
        left = left > margin ? left - margin : 0;
    }
    return bytes <= left
               ? 0
               : mr_fail(MR_ENOMEM, "does not fit: %.2f GiB are needed, and the %s has %.2f GiB left",
                         (double)bytes / 0x1p30, info->shares_host_memory ? "host" : "device", (double)left / 0x1p30);
}

int mr_bench_model_open(mr_model **model, mr_runtime *rt, const struct mr_bench_model *m, int precision, int texts)
{
    struct fitting f = {rt, texts};
    struct mr_precision chooser = {.wanted = precision};
    int err;
    *model = NULL;
    if (m->path) {
        const struct mr_opening how = {.precision = precision, .planned = check_memory, .context = &f};
        err = mr_model_open_as(model, rt, m->path, NULL, &how, NULL);
    } else {
        err = check_memory(&f, &m->cfg, mr_precision_choose, &chooser);
        if (!err)
            err = mr_model_create(model, rt, &m->cfg, mr_precision_choose, &chooser, false);
        if (!err && (err = mr_bench_fill(*model)) < 0) {
            mr_model_free(*model);
            *model = NULL;
        }
    }
    return err;
}
