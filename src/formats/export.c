/* SPDX-License-Identifier: GPL-3.0-or-later
 * Running a plan: tensor by tensor, piece by piece, from the source into the writer. */
#include "formats/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "io/ggml_bin.h"
#include "io/mrw.h"
#include "io/safetensors.h"
#include "io/torch_file.h"

struct run {
    const struct mr_export *e;
    const struct mr_export_events *events;
    mr_tensor_file *source;
    mr_tensor_writer *writer;
    uint64_t done, all;  /* bytes of the file to come */
    size_t block, width; /* of the tensor in work, where its bytes are taken as they are; else 0 */
    const struct mr_file_tensor *tensor;
};

static int tell(struct run *r, size_t count)
{
    size_t block = mr_dtype_block(r->tensor->dtype);
    r->done += count / block * mr_dtype_block_bytes(r->tensor->dtype);
    if (r->events->progress)
        r->events->progress(r->events->context, r->done, r->all);
    return r->events->stop && *r->events->stop ? mr_fail(MR_EINTERRUPTED, "stopped: nothing was written") : 0;
}

static int sink(void *context, const void *bytes, size_t count)
{
    struct run *r = context;
    MR_TRY(r->width ? mr_tensor_writer_append(r->writer, bytes, count / r->block * r->width)
                    : mr_tensor_writer_append_f32(r->writer, bytes, count));
    return tell(r, count);
}

static int zeros(struct run *r, size_t count)
{
    static const float nothing[1024];
    for (size_t at = 0; at < count; at += 1024) {
        size_t n = count - at < 1024 ? count - at : 1024;
        MR_TRY(mr_tensor_writer_append_f32(r->writer, nothing, n));
        MR_TRY(tell(r, n));
    }
    return 0;
}

/* Whether a part's numbers are taken bit for bit. */
static bool as_stored(const struct run *r, const struct mr_recipe *recipe)
{
    enum mr_dtype dtype = r->source->tensors[recipe->tensor].dtype;
    return dtype == r->tensor->dtype && !recipe->undo && !recipe->apply && !(recipe->rows && mr_dtype_block(dtype) > 1);
}

static int write_output(struct run *r, const struct mr_output *o)
{
    if (o->kind == MR_OUTPUT_SHARED)
        return 0;
    if (o->kind == MR_OUTPUT_NUMBER)
        return mr_tensor_writer_append_f32(r->writer, &o->number, 1);
    for (int i = 0; i < o->parts; i++) {
        const struct mr_recipe *recipe = &o->recipe[i];
        if (!recipe->count) {
            MR_TRY(zeros(r, o->count[i]));
            continue;
        }
        bool raw = as_stored(r, recipe);
        r->block = mr_dtype_block(r->tensor->dtype);
        r->width = raw ? mr_dtype_block_bytes(r->tensor->dtype) : 0;
        MR_TRY(mr_recipe_run(r->source, recipe, raw, sink, r));
    }
    return 0;
}

static int begin(const struct mr_export *e, const char *path, mr_tensor_writer **writer)
{
    switch (e->target) {
    case MR_TARGET_MRW:
        return mr_mrw_begin(writer, path, e->tensors, e->count, e->metadata, MR_MRW_LEVEL);
    case MR_TARGET_SAFETENSORS:
    case MR_TARGET_HF:
    case MR_TARGET_ST:
        return mr_safetensors_begin(writer, path, e->tensors, e->count, e->metadata);
    case MR_TARGET_BIN:
        return mr_ggml_bin_begin(writer, path, e->tensors, e->count, e->metadata);
    default:
        return mr_torch_begin(writer, path, e->tensors, e->count, e->metadata);
    }
}

static int write_file(const struct mr_export *e, mr_tensor_file *source, const char *path,
                      const struct mr_export_events *events)
{
    struct run r = {.e = e, .events = events, .source = source};
    for (size_t i = 0; i < e->count; i++) {
        size_t count, bytes;
        MR_TRY(mr_file_tensor_size(&e->tensors[i], &count, &bytes));
        r.all += e->tensors[i].shares < 0 ? bytes : 0;
    }
    MR_TRY(begin(e, path, &r.writer));
    r.writer->saturate = e->saturate;
    for (size_t i = 0; i < e->count; i++) {
        r.tensor = &e->tensors[i];
        int err = write_output(&r, &e->outputs[i]);
        if (err) {
            mr_tensor_writer_abort(r.writer);
            return err;
        }
    }
    return mr_tensor_writer_finish(r.writer);
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* The files of a Hugging Face model into a folder that exists. */
static int write_files(const struct mr_export *e, mr_tensor_file *source, const char *folder,
                       const struct mr_export_events *events)
{
    struct mr_str weights = {0}, config = {0};
    int err;
    MR_GO(mr_str_printf(&weights, "%s/model.safetensors", folder));
    MR_GO(mr_str_printf(&config, "%s/config.json", folder));
    MR_GO(write_file(e, source, weights.text, events));
    MR_GO(mr_json_save(e->config, config.text));
    if (events->files)
        err = events->files(events->context, folder);
fail:
    mr_str_free(&weights);
    mr_str_free(&config);
    return err;
}

/* Removes a folder of ours that did not become whole. */
static void remove_folder(const char *folder)
{
    static const char *const names[] = {"model.safetensors",
                                        "config.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "rwkv_vocab_v20230424.txt",
                                        NULL};
    char path[4200];
    for (int i = 0; names[i]; i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path)
            unlink(path);
    rmdir(folder);
}

/* A new folder is written beside its place and then renamed; in one that exists each file is replaced. */
static int write_folder(const struct mr_export *e, mr_tensor_file *source, const char *path,
                        const struct mr_export_events *events)
{
    char target[4096], temporary[4130];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size >= sizeof target)
        return mr_fail(MR_EINVAL, "the path %.60s… is too long", path);
    memcpy(target, path, size);
    target[size] = 0;
    if (mr_is_folder(target))
        return write_files(e, source, target, events);
    snprintf(temporary, sizeof temporary, "%s.tmp%ld", target, (long)getpid());
    if (mkdir(temporary, 0777))
        return mr_fail(MR_EFILE, "the folder %s cannot be made: %s", target, strerror(errno));
    int err = write_files(e, source, temporary, events);
    if (!err && rename(temporary, target))
        err = mr_fail(MR_EFILE, "the folder %s cannot be made: %s", target, strerror(errno));
    if (err)
        remove_folder(temporary);
    return err;
}

int mr_export_run(const struct mr_export *e, mr_tensor_file *source, const char *path,
                  const struct mr_export_events *events)
{
    if (e->target == MR_TARGET_HF)
        return write_folder(e, source, path, events);
    if (mr_is_folder(path))
        return mr_fail(MR_EINVAL, "%s is a folder, and %s is a file: name the file", path, mr_target_name(e->target));
    return write_file(e, source, path, events);
}
