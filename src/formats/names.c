/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/names.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "formats/initial_state.h"
#include "model/layer.h"

#define LISTED 10   /* names listed in an error; of more only how many */
#define SAMPLE 1024 /* numbers of a tensor that stand for all: whole blocks of every format */

/* The embedding's name gives the layout: every model has it, and a block whose names start so. */
static const struct anchor {
    const char *name, *block;
    int layout;
} anchors[] = {
    {"transformer.wte.weight", "transformer.h.0.", MR_LAYOUT_OWN},
    {"emb.weight", "blocks.0.", MR_LAYOUT_OWN},
    {"rwkv.embeddings.weight", "rwkv.blocks.0.", MR_LAYOUT_HF_RWKV},
    {"wte.weight", "h.0.", MR_LAYOUT_BARE},
    {"token_embd.weight", "blk.0.", MR_LAYOUT_GGUF},
    {"model.embeddings.weight", "model.layers.0.", MR_LAYOUT_FLA},
    {"gpt_neox.embed_in.weight", "gpt_neox.layers.0.", MR_LAYOUT_OWN},
    {"model.decoder.embed_tokens.weight", "model.decoder.layers.0.", MR_LAYOUT_OWN},
    {"decoder.embed_tokens.weight", "decoder.layers.0.", MR_LAYOUT_BARE},
};

/* Whether the first `size` bytes of a name are words with a point behind each, as training programs put them before the
 * names of parameters: "module.", "_forward_module.model."; but not those of what goes with parameters. */
static bool is_prefix(const char *name, size_t size)
{
    static const char *const others[] = {"optimizer.", "adamw.", "grad.", NULL};
    for (size_t i = 0; i < size; i++) {
        bool word = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '-';
        if (!word && (name[i] != '.' || i == 0 || name[i - 1] == '.'))
            return false;
    }
    for (int i = 0; others[i]; i++)
        if (size >= strlen(others[i]) && !strncmp(name, others[i], strlen(others[i])))
            return false;
    return !size || name[size - 1] == '.';
}

/* A known prefix is nothing but these. */
static bool is_usual(const char *prefix)
{
    static const char *const wrappers[] = {"model.", "_orig_mod.", "module.", "state_dict.", "_forward_module."};
    size_t i = 0;
    while (*prefix && i < sizeof wrappers / sizeof wrappers[0]) {
        size_t n = strlen(wrappers[i]);
        bool same = !strncmp(prefix, wrappers[i], n);
        prefix += same ? n : 0;
        i = same ? 0 : i + 1;
    }
    return !*prefix;
}

static bool has_block(const mr_tensor_file *source, const char *prefix, const char *block)
{
    size_t n = strlen(prefix), m = strlen(block);
    for (size_t i = 0; i < source->count; i++)
        if (!strncmp(source->tensors[i].name, prefix, n) && !strncmp(source->tensors[i].name + n, block, m))
            return true;
    return false;
}

/* The anchor and prefix of a name, if it is an embedding's. */
static const struct anchor *anchor_of(const mr_tensor_file *source, const char *name, char prefix[64])
{
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof anchors / sizeof anchors[0]; i++) {
        size_t n = strlen(anchors[i].name), before = size - n;
        if (size < n || strcmp(name + before, anchors[i].name) || before >= 64 || !is_prefix(name, before))
            continue;
        memcpy(prefix, name, before);
        prefix[before] = 0;
        if (is_usual(prefix) || has_block(source, prefix, anchors[i].block))
            return &anchors[i];
    }
    return NULL;
}

/* Of several models in a file the one with the usual prefix, else the shortest one. */
static bool find_anchor(const mr_tensor_file *source, struct mr_naming *naming)
{
    char prefix[sizeof naming->prefix], other[sizeof naming->prefix] = "";
    bool found = false, usual = false, several = false;
    for (size_t i = 0; i < source->count; i++) {
        const struct anchor *a = anchor_of(source, source->tensors[i].name, prefix);
        if (!a)
            continue;
        bool better = !found || (is_usual(prefix) && !usual) ||
                      (is_usual(prefix) == usual && strlen(prefix) < strlen(naming->prefix));
        several = found && (!usual || is_usual(prefix));
        memcpy(other, better ? naming->prefix : prefix, sizeof other);
        if (better) {
            naming->layout = a->layout;
            memcpy(naming->prefix, prefix, sizeof prefix);
            usual = is_usual(prefix);
        }
        found = true;
    }
    if (several)
        mr_log(MR_LOG_WARNING, "the file holds several models: that of \"%s\" is read, that of \"%s\" is not",
               naming->prefix, other);
    return found;
}

/* Some names of a file that is not recognised. */
static int unknown_names(const mr_tensor_file *source)
{
    char list[400] = "";
    size_t shown = source->count < 4 ? source->count : 4;
    for (size_t i = 0; i < shown; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.90s", i ? ", " : "", source->tensors[i].name);
    if (!source->count)
        return mr_fail(MR_EFILE, "it holds no tensors");
    return mr_fail(MR_EFILE, "its tensor names are not those of a known model: %s%s", list,
                   source->count > shown ? ", …" : "");
}

int mr_naming_of(mr_tensor_file *source, struct mr_naming *naming)
{
    struct mr_config none = {.family = MR_FAMILIES};
    *naming = (struct mr_naming){0};
    if (!find_anchor(source, naming))
        return unknown_names(source);
    naming->rules = mr_layout_rules(naming->layout, &none);
    return 0;
}

/* Block 0 of RWKV-7 has v0, v1, v2 but no use for them. */
static bool is_unused(const char *name)
{
    return !strcmp(name, "blocks.0.att.v0") || !strcmp(name, "blocks.0.att.v1") || !strcmp(name, "blocks.0.att.v2");
}

int64_t mr_naming_find(mr_tensor_file *source, const struct mr_naming *naming, const char *name, struct mr_place *place)
{
    struct mr_place at;
    if (naming->layout == MR_LAYOUT_GGUF && is_unused(name)) /* what is there instead has another shape */
        return -1;
    for (int nth = 0; mr_layout_place(naming->rules, name, nth, &at); nth++) {
        char full[sizeof at.name + sizeof naming->prefix];
        snprintf(full, sizeof full, "%s%s", naming->prefix, at.name);
        int64_t found = mr_tensor_file_find(source, full);
        if (found >= 0 && place)
            *place = at;
        if (found >= 0)
            return found;
    }
    return -1;
}

/* ---- all there, and nothing else ---------------------------------------------------------------------------- */

bool mr_may_be_missing(const struct mr_config *cfg, const char *name)
{
    return mr_family(cfg)->rwkv == 7 && is_unused(name);
}

struct listing {
    char text[700];
    int count;
};

static void list(struct listing *l, const char *name)
{
    size_t used = strlen(l->text);
    if (l->count++ < LISTED)
        snprintf(l->text + used, sizeof l->text - used, "%s%s", used ? ", " : "", name);
}

static const char *more(const struct listing *l, char text[32])
{
    text[0] = 0;
    if (l->count > LISTED)
        snprintf(text, 32, " and %d more", l->count - LISTED);
    return text;
}

/* What programs keep beside the parameters: a causal mask, the head that is the embedding again, an initial state. */
static bool is_buffer(const struct mr_config *cfg, const char *name)
{
    size_t size = strlen(name);
    if (strcmp(name, "lm_head.weight") == 0 || strcmp(name, "output.weight") == 0 ||
        (cfg->tied && !strcmp(name, mr_family(cfg)->head)))
        return !mr_family(cfg)->rwkv;
    if (mr_is_initial_state(name))
        return mr_family(cfg)->rwkv >= 5;
    if (strncmp(name, "blk.0.time_mix_v", 16) == 0 && name[16] >= '0' && name[16] <= '2')
        return mr_family(cfg)->rwkv == 7;
    static const char *const ends[] = {
        ".attn.bias",      ".attn.masked_bias",      ".attn.attention.bias", ".attn.attention.masked_bias",
        ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq", NULL};
    for (int i = 0; ends[i] && mr_family(cfg)->parts.out; i++)
        if (size > strlen(ends[i]) && !strcmp(name + size - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

bool mr_is_model_name(const struct mr_naming *naming, const char *name)
{
    static const char *const starts[] = {"transformer.", "blocks.",   "rwkv.",      "lm_head.",       "emb.", "head.",
                                         "ln_out.",      "gpt_neox.", "embed_out.", "model.decoder.", NULL};
    static const char *const bare[] = {"wte.", "wpe.", "h.", "ln_f.", "lm_head.", "decoder.", NULL};
    static const char *const gguf[] = {"blk.", "token_", "position_", "output", NULL};
    static const char *const fla[] = {"model.", "lm_head.", NULL};
    const char *const *s = naming->layout == MR_LAYOUT_BARE || naming->layout == MR_LAYOUT_GPT2 ? bare
                           : naming->layout == MR_LAYOUT_GGUF                                   ? gguf
                           : naming->layout == MR_LAYOUT_FLA                                    ? fla
                                                                                                : starts;
    while (*s && strncmp(name, *s, strlen(*s)) != 0)
        s++;
    return *s != NULL;
}

static void list_unknown(const mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg,
                         const bool *used, struct listing *unknown)
{
    size_t prefix = strlen(naming->prefix);
    for (size_t i = 0; i < source->count; i++) {
        const char *name = source->tensors[i].name;
        if (used[i] || strncmp(name, naming->prefix, prefix) != 0 || !mr_is_model_name(naming, name + prefix) ||
            is_buffer(cfg, name + prefix))
            continue;
        list(unknown, name);
    }
}

/* Whether two tensors hold the same numbers, at one end; in different formats they are as equal as these allow. */
static int same_numbers(mr_tensor_file *source, size_t a, size_t b, uint64_t at, size_t count, bool *same)
{
    float x[SAMPLE], y[SAMPLE], largest = 0, apart = 0;
    MR_TRY(mr_tensor_file_read_f32(source, a, at, count, x));
    MR_TRY(mr_tensor_file_read_f32(source, b, at, count, y));
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(y[i]));
        apart = fmaxf(apart, fabsf(x[i] - y[i]));
    }
    enum mr_dtype first = source->tensors[a].dtype, second = source->tensors[b].dtype;
    bool quantised = mr_dtype_block(first) > 1 || mr_dtype_block(second) > 1;
    *same = first == second ? !memcmp(x, y, count * sizeof *x) : apart <= largest * (quantised ? 0.3f : 0.01f);
    return 0;
}

/* A head that files hold beside the embedding must be the same numbers: their ends are compared. */
static int check_tied(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg)
{
    char name[96];
    const struct mr_family *family = mr_family(cfg);
    snprintf(name, sizeof name, "%s%s", naming->prefix,
             naming->layout == MR_LAYOUT_GGUF ? "output.weight"
             : family->head                   ? family->head
                                              : "lm_head.weight");
    int64_t head = mr_tensor_file_find(source, name),
            embedding = mr_naming_find(source, naming, family->embedding, NULL);
    if (mr_head_name(cfg) || head < 0 || embedding < 0)
        return 0;
    int64_t shares[2] = {source->tensors[head].shares, source->tensors[embedding].shares};
    if (shares[0] == embedding || shares[1] == head || (shares[0] >= 0 && shares[0] == shares[1]))
        return 0;
    int64_t count = mr_tensor_elements(&source->tensors[embedding]), n = count < SAMPLE ? count : SAMPLE;
    bool same = mr_tensor_elements(&source->tensors[head]) == count;
    for (int end = 0; same && end < 2; end++)
        MR_TRY(
            same_numbers(source, (size_t)head, (size_t)embedding, end ? (uint64_t)(count - n) : 0, (size_t)n, &same));
    return same ? 0
                : mr_fail(MR_EFILE, "%s differs from the embedding: %s", name,
                          family->head ? "is it a head of its own? Then give --config tied=False"
                                       : "a head of its own is not part of this family");
}

int mr_check_names(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_params *params,
                   const struct mr_config *cfg)
{
    struct listing missing = {{0}, 0}, unknown = {{0}, 0};
    char more_missing[32], more_unknown[32];
    bool *used = mr_alloc(source->count, sizeof *used);
    if (!used)
        return MR_ENOMEM;
    for (int i = 0; i < params->count; i++) {
        struct mr_place place;
        if (params->list[i]->adapter)
            continue;
        int64_t at = mr_naming_find(source, naming, params->list[i]->name, NULL);
        if (at >= 0)
            used[at] = true;
        else if (!mr_may_be_missing(cfg, params->list[i]->name) &&
                 mr_layout_place(naming->rules, params->list[i]->name, 0, &place))
            list(&missing, place.name);
    }
    list_unknown(source, naming, cfg, used, &unknown);
    free(used);
    const char *family = mr_family_name(cfg->family);
    if (missing.count && unknown.count)
        return mr_fail(MR_EFILE, "%d tensors of a %s model are missing: %s%s; %d that it does not have are there: %s%s",
                       missing.count, family, missing.text, more(&missing, more_missing), unknown.count, unknown.text,
                       more(&unknown, more_unknown));
    if (missing.count)
        return mr_fail(MR_EFILE, "%d tensors of a %s model are missing: %s%s", missing.count, family, missing.text,
                       more(&missing, more_missing));
    if (unknown.count)
        return mr_fail(MR_EFILE, "%d tensors do not belong to a %s model of this configuration: %s%s", unknown.count,
                       family, unknown.text, more(&unknown, more_unknown));
    return !mr_family(cfg)->rwkv ? check_tied(source, naming, cfg) : 0;
}

int64_t mr_tensor_elements(const struct mr_file_tensor *tensor)
{
    size_t count, bytes;
    return mr_file_tensor_size(tensor, &count, &bytes) < 0 || count > INT64_MAX ? 0 : (int64_t)count;
}
