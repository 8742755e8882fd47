/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/adapter_convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/adapter_names.h"
#include "io/safetensors.h"
#include "io/torch_file.h"

int mr_is_adapter(const char *spec, bool *is)
{
    mr_tensor_file *file = NULL;
    struct mr_adapter how;
    char path[4096];
    *is = false;
    snprintf(path, sizeof path, "%s/adapter_config.json", spec);
    if (mr_is_folder(spec)) {
        *is = mr_is_file(path);
        return 0;
    }
    if (mr_adapter_open(&file, spec, &how) < 0)
        return 0; /* who opens it as a model says what is wrong */
    for (size_t i = 0; i < file->count && !*is; i++)
        *is = strstr(file->tensors[i].name, ".lora_A") && strncmp(file->tensors[i].name, "adamw.", 6) != 0;
    mr_tensor_file_close(file);
    return 0;
}

int mr_adapter_layout_of(const char *path)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *end = strrchr(name, '.');
    if (!end || mr_is_folder(path))
        return MR_ADAPTER_PEFT;
    if (strcmp(end, ".pth") == 0)
        return MR_ADAPTER_PTH;
    return mr_fail(MR_EINVAL,
                   "%s: an adapter becomes a folder of Hugging Face PEFT (no ending) or a file of RWKV-PEFT (.pth); to "
                   "merge it, convert its model with --lora",
                   path);
}

struct conversion {
    mr_tensor_file *file;
    struct mr_adapter how;
    int layout;
    struct mr_file_tensor *tensors;
    char (*names)[320];
    size_t *from; /* the tensor of the file */
    size_t count;
    struct mr_adapter_written written;
    json_t *modules;
};

static void free_conversion(struct conversion *c)
{
    mr_tensor_file_close(c->file);
    free(c->tensors);
    free(c->names);
    free(c->from);
    json_decref(c->modules);
}

static int add_module(json_t *list, const char *module)
{
    const char *last = strrchr(module, '.') ? strrchr(module, '.') + 1 : module;
    for (size_t k = 0; k < json_array_size(list); k++)
        if (strcmp(json_string_value(json_array_get(list, k)), last) == 0)
            return 0;
    return mr_json_append(list, json_string(last));
}

/* The tensor's name in the new file. */
static int rename_tensor(struct conversion *c, size_t i, char name[320])
{
    struct mr_adapter_name is;
    char module[260];
    const char *prefix = c->layout == MR_ADAPTER_PEFT ? "base_model.model." : "";
    const char *end = c->layout == MR_ADAPTER_PEFT ? ".weight" : "";
    MR_TRY(mr_adapter_name_of(c->file, i, &is));
    if (is.part == MR_ADAPTER_WHOLE) {
        snprintf(name, 320, "%s%s", prefix, is.target);
        return 0;
    }
    snprintf(module, sizeof module, "%s", is.target);
    *strrchr(module, '.') = 0; /* .weight */
    if (is.part == MR_ADAPTER_BLOCK || is.first) {
        if (c->layout == MR_ADAPTER_PEFT)
            return mr_fail(MR_EINVAL, "%s: %s is not LoRA, and a PEFT folder here holds nothing else", c->file->path,
                           c->file->tensors[i].name);
        snprintf(name, 320, "%s", c->file->tensors[i].name);
        return 0;
    }
    snprintf(name, 320, "%s%s.lora_%c%s", prefix, module, is.part == MR_ADAPTER_A ? 'A' : 'B', end);
    return is.part == MR_ADAPTER_A ? add_module(c->modules, module) : 0;
}

static int plan(struct conversion *c)
{
    c->tensors = mr_alloc(c->file->count, sizeof *c->tensors);
    c->names = mr_alloc(c->file->count, sizeof *c->names);
    c->from = mr_alloc(c->file->count, sizeof *c->from);
    if (!c->tensors || !c->names || !c->from || !(c->modules = json_array()))
        return MR_ENOMEM;
    for (size_t i = 0; i < c->file->count; i++) {
        const struct mr_file_tensor *t = &c->file->tensors[i];
        size_t count, bytes;
        if (strncmp(t->name, "adamw.", 6) == 0)
            continue; /* of a checkpoint */
        MR_TRY(rename_tensor(c, i, c->names[c->count]));
        MR_TRY(mr_file_tensor_size(t, &count, &bytes));
        if (strstr(t->name, ".lora_A") && t->ndim == 2)
            c->written.rank = (int)t->shape[0];
        c->written.numbers += count;
        c->written.bytes += bytes;
        c->tensors[c->count] = *t;
        c->tensors[c->count].name = c->names[c->count];
        c->tensors[c->count].shares = -1;
        c->from[c->count++] = i;
    }
    double alpha = c->how.alpha > 0 ? c->how.alpha : c->written.rank;
    if (!c->written.rank)
        return mr_fail(MR_EFILE, "%s holds no LoRA", c->file->path);
    c->written.scale = c->how.scale * alpha / (c->how.root ? sqrt(c->written.rank) : c->written.rank);
    return 0;
}

static int write_tensors(const struct conversion *c, const char *path)
{
    mr_tensor_writer *writer;
    if (c->layout == MR_ADAPTER_PEFT)
        MR_TRY(mr_safetensors_begin(&writer, path, c->tensors, c->count, NULL));
    else
        MR_TRY(mr_torch_begin(&writer, path, c->tensors, c->count, NULL));
    for (size_t i = 0; i < c->count; i++) {
        int err = mr_tensor_writer_copy(writer, c->file, c->from[i]);
        if (err) {
            mr_tensor_writer_abort(writer);
            return err;
        }
    }
    return mr_tensor_writer_finish(writer);
}

/* What the source says of itself goes along; alpha holds the whole scale. */
static int write_config(const struct conversion *c, const char *path)
{
    json_t *said = json_object_get(c->file->metadata, "adapter");
    json_t *config = said ? json_copy(said) : json_object();
    int err;
    MR_GO(mr_json_set(config, "peft_type", json_string("LORA")));
    MR_GO(mr_json_set(config, "task_type", json_string("CAUSAL_LM")));
    MR_GO(mr_json_set(config, "r", json_integer(c->written.rank)));
    MR_GO(mr_json_set(config, "lora_alpha", json_real(c->written.scale * c->written.rank)));
    MR_GO(mr_json_set(config, "target_modules", json_incref(c->modules)));
    MR_GO(mr_json_set(config, "bias", json_string("none")));
    MR_GO(mr_json_set(config, "fan_in_fan_out", json_boolean(c->how.transposed)));
    err = mr_json_save(config, path);
fail:
    json_decref(config);
    return err;
}

int mr_adapter_convert(const char *spec, const char *out, int layout, struct mr_adapter_written *written)
{
    struct conversion c = {.layout = layout};
    char path[4096];
    int err;
    MR_GO(mr_adapter_open(&c.file, spec, &c.how));
    MR_GO(plan(&c));
    if (layout == MR_ADAPTER_PTH) {
        MR_GO(write_tensors(&c, out));
    } else {
        MR_GO(mr_make_folder(out, 0777));
        if ((size_t)snprintf(path, sizeof path, "%s/adapter_model.safetensors", out) >= sizeof path)
            MR_GO(mr_fail(MR_EINVAL, "the path %s is too long", out));
        MR_GO(write_tensors(&c, path));
        snprintf(path, sizeof path, "%s/adapter_config.json", out);
        MR_GO(write_config(&c, path));
    }
    if (written)
        *written = c.written;
fail:
    free_conversion(&c);
    return err;
}
