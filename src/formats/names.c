/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define LISTED 10 /* so many names are told, of more only how many */

/* What training programs put before the names of parameters, in any number and order. */
static const char *const wrappers[] = {"model.", "_orig_mod.", "module.", "state_dict."};

/* The embedding tells the layout: every model has it. */
static const struct {
    const char *name;
    int layout;
} anchors[] = {
    {"transformer.wte.weight", MR_LAYOUT_OWN},
    {"emb.weight", MR_LAYOUT_OWN},
    {"rwkv.embeddings.weight", MR_LAYOUT_HF_RWKV},
    {"wte.weight", MR_LAYOUT_BARE},
};

/* Whether the first `size` bytes of a name are nothing but wrappers. */
static bool is_prefix(const char *name, size_t size)
{
    while (size) {
        size_t n = 0;
        for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0] && !n; i++) {
            size_t w = strlen(wrappers[i]);
            if (w <= size && memcmp(name, wrappers[i], w) == 0)
                n = w;
        }
        if (!n)
            return false;
        name += n;
        size -= n;
    }
    return true;
}

static bool anchor(const char *name, struct mr_naming *naming)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof anchors / sizeof anchors[0]; i++) {
        size_t n = strlen(anchors[i].name);
        if (size < n || strcmp(name + size - n, anchors[i].name) != 0 || size - n >= sizeof naming->prefix ||
            !is_prefix(name, size - n))
            continue;
        naming->layout = anchors[i].layout;
        memcpy(naming->prefix, name, size - n);
        naming->prefix[size - n] = 0;
        return true;
    }
    return false;
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
    return mr_fail(MR_EFILE, "the names of its tensors are of no known model: %s%s", list,
                   source->count > shown ? ", …" : "");
}

int mr_naming_of(mr_tensor_file *source, struct mr_naming *naming)
{
    struct mr_config none = {.family = MR_FAMILIES};
    *naming = (struct mr_naming){0};
    size_t i = 0;
    while (i < source->count && !anchor(source->tensors[i].name, naming))
        i++;
    if (i == source->count)
        return unknown_names(source);
    naming->rules = mr_layout_rules(naming->layout, &none);
    return 0;
}

int64_t mr_naming_find(mr_tensor_file *source, const struct mr_naming *naming, const char *name, struct mr_place *place)
{
    struct mr_place at;
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
    return cfg->family == MR_RWKV7 &&
           (!strcmp(name, "blocks.0.att.v0") || !strcmp(name, "blocks.0.att.v1") || !strcmp(name, "blocks.0.att.v2"));
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

/* Buffers that programs keep beside the parameters: a causal mask, and the head that is the embedding again. */
static bool is_buffer(const struct mr_config *cfg, const char *name)
{
    size_t size = strlen(name);
    if (strcmp(name, "lm_head.weight") == 0)
        return cfg->family < MR_RWKV4;
    return cfg->family == MR_GPT2 && ((size > 10 && !strcmp(name + size - 10, ".attn.bias")) ||
                                      (size > 17 && !strcmp(name + size - 17, ".attn.masked_bias")));
}

bool mr_is_model_name(const struct mr_naming *naming, const char *name)
{
    static const char *const starts[] = {"transformer.", "blocks.", "rwkv.",   "lm_head.",
                                         "emb.",         "head.",   "ln_out.", NULL};
    static const char *const bare[] = {"wte.", "wpe.", "h.", "ln_f.", "lm_head.", NULL};
    const char *const *s = naming->layout == MR_LAYOUT_BARE || naming->layout == MR_LAYOUT_GPT2 ? bare : starts;
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

/* A head that files hold beside the embedding must be the same numbers: their ends tell. */
static int check_tied(mr_tensor_file *source, const struct mr_naming *naming)
{
    enum { SAMPLE = 1024 };
    float a[SAMPLE], b[SAMPLE];
    char name[96];
    snprintf(name, sizeof name, "%slm_head.weight", naming->prefix);
    int64_t head = mr_tensor_file_find(source, name),
            embedding = mr_naming_find(source, naming, "transformer.wte.weight", NULL);
    if (head < 0 || embedding < 0)
        return 0;
    int64_t shares[2] = {source->tensors[head].shares, source->tensors[embedding].shares};
    if (shares[0] == embedding || shares[1] == head || (shares[0] >= 0 && shares[0] == shares[1]))
        return 0;
    int64_t count = mr_tensor_elements(&source->tensors[embedding]), n = count < SAMPLE ? count : SAMPLE;
    bool same = mr_tensor_elements(&source->tensors[head]) == count &&
                mr_dtype_block(source->tensors[head].dtype) == 1 &&
                mr_dtype_block(source->tensors[embedding].dtype) == 1;
    for (int end = 0; same && end < 2; end++) {
        uint64_t at = end ? (uint64_t)(count - n) : 0;
        MR_TRY(mr_tensor_file_read_f32(source, (size_t)head, at, (size_t)n, a));
        MR_TRY(mr_tensor_file_read_f32(source, (size_t)embedding, at, (size_t)n, b));
        same = memcmp(a, b, (size_t)n * sizeof *a) == 0;
    }
    return same
               ? 0
               : mr_fail(MR_EFILE, "%s differs from the embedding: a head of its own is not part of this family", name);
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
        return mr_fail(MR_EFILE, "%d tensors are there that a %s model of its configuration does not have: %s%s",
                       unknown.count, family, unknown.text, more(&unknown, more_unknown));
    return cfg->family < MR_RWKV4 ? check_tied(source, naming) : 0;
}

int64_t mr_tensor_elements(const struct mr_file_tensor *tensor)
{
    size_t count, bytes;
    return mr_file_tensor_size(tensor, &count, &bytes) < 0 || count > INT64_MAX ? 0 : (int64_t)count;
}
