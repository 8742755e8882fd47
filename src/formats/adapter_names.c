/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/adapter_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/tensor_source.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

static const struct ending {
    const char *text, *other; /* other: of its B */
    int part;
    bool first;
} endings[] = {
    {".lora_A.weight", ".lora_B.weight", MR_ADAPTER_A, false},
    {".lora_A.default.weight", ".lora_B.default.weight", MR_ADAPTER_A, false},
    {".lora_A", ".lora_B", MR_ADAPTER_A, false},
    {".init_lora_A", ".init_lora_B", MR_ADAPTER_A, true},
    {".lora_B.weight", NULL, MR_ADAPTER_B, false},
    {".lora_B.default.weight", NULL, MR_ADAPTER_B, false},
    {".lora_B", NULL, MR_ADAPTER_B, false},
    {".init_lora_B", NULL, MR_ADAPTER_B, true},
    {".disha", NULL, MR_ADAPTER_BLOCK, false},
    {".bone", NULL, MR_ADAPTER_BLOCK, false},
};

static int refuse(const mr_tensor_file *file, const char *name, const char *why)
{
    return mr_fail(MR_EFILE, "%s: %s: %s", file->path, name, why);
}

int mr_adapter_name_of(const mr_tensor_file *file, size_t i, struct mr_adapter_name *name)
{
    static const char prefix[] = "base_model.model.";
    const char *full = file->tensors[i].name, *own = full;
    size_t size = strlen(full);
    *name = (struct mr_adapter_name){.part = MR_ADAPTER_WHOLE};
    if (!strncmp(own, prefix, sizeof prefix - 1))
        own += sizeof prefix - 1;
    if (size >= sizeof name->target - 10)
        return refuse(file, full, "the name is too long");
    if (strstr(own, "lora_magnitude_vector") || strstr(own, "lora_embedding_"))
        return refuse(file, full, "DoRA and adapters of embeddings are not read: merge it with its own program");
    if (strstr(own, ".time_state"))
        return refuse(file, full, "a state is no adapter: give it with --state-in");
    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        const struct ending *e = &endings[k];
        size_t n = strlen(e->text);
        if (size < n || strcmp(full + size - n, e->text) != 0)
            continue;
        name->part = e->part;
        name->first = e->first;
        snprintf(name->target, sizeof name->target, "%.*s.weight", (int)(strlen(own) - n), own);
        if (e->other)
            snprintf(name->other, sizeof name->other, "%.*s%s", (int)(size - n), full, e->other);
        return 0;
    }
    snprintf(name->target, sizeof name->target, "%s", own);
    return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* FILE:SCALE, where what follows the last colon is a number; the caller frees *path. */
static int split(const char *spec, char **path, struct mr_adapter *how)
{
    const char *colon = strrchr(spec, ':');
    char *end = NULL;
    double scale = colon ? strtod(colon + 1, &end) : 1;
    how->scale = 1;
    if (!(*path = mr_strdup(spec)))
        return MR_ENOMEM;
    if (!colon || end == colon + 1 || *end || mr_is_file(spec))
        return 0;
    (*path)[colon - spec] = 0;
    how->scale = scale;
    how->has_scale = true;
    return isfinite(scale) ? 0 : mr_fail(MR_EINVAL, "--lora %s: the scale is not a number", spec);
}

static int read_config(const json_t *config, const char *path, struct mr_adapter *how)
{
    const char *kind;
    const json_t *pattern = json_object_get(config, "alpha_pattern");
    MR_TRY(mr_json_string_or(config, "peft_type", "LORA", &kind));
    if (strcmp(kind, "LORA") != 0)
        return mr_fail(MR_EFILE, "%s: adapters of peft_type %s are not read, only LORA", path, kind);
    if (json_object_size(pattern))
        return mr_fail(MR_EFILE, "%s: its alpha_pattern is not read: merge it with its own program", path);
    MR_TRY(mr_json_bool_or(config, "use_rslora", false, &how->root));
    MR_TRY(mr_json_bool_or(config, "fan_in_fan_out", false, &how->transposed));
    MR_TRY(mr_json_number_or(config, "lora_alpha", 0, &how->alpha));
    return how->alpha > 0 ? 0 : mr_fail(MR_EFILE, "%s: its lora_alpha is not a positive number", path);
}

/* adapter_config.json in the folder, and adapter_model.safetensors or .bin. */
static int open_folder(mr_tensor_file **file, const char *folder, struct mr_adapter *how)
{
    static const char *const names[] = {"adapter_model.safetensors", "adapter_model.bin"};
    char path[4096];
    json_t *config = NULL;
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    MR_TRY(mr_json_load(&config, path));
    int err = read_config(config, path, how);
    json_decref(config);
    if (err)
        return err;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (mr_is_file(path))
            return mr_tensor_source_open(file, path);
    }
    return mr_fail(MR_EFILE, "the folder %s holds no adapter_model.safetensors", folder);
}

int mr_adapter_open(mr_tensor_file **file, const char *spec, struct mr_adapter *how)
{
    char *path;
    *how = (struct mr_adapter){0};
    MR_TRY(split(spec, &path, how));
    size_t size = strlen(path);
    int err;
    if (mr_is_folder(path))
        err = open_folder(file, path, how);
    else if (size > 26 && !strcmp(path + size - 26, "/adapter_model.safetensors")) {
        path[size - 26] = 0; /* its configuration lies beside it */
        err = open_folder(file, path, how);
    } else {
        err = mr_tensor_source_open(file, path);
        const json_t *said = err ? NULL : json_object_get((*file)->metadata, "adapter"); /* a checkpoint of training */
        if (said && (err = read_config(said, path, how)) < 0)
            mr_tensor_file_close(*file);
    }
    free(path);
    return err;
}
