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
#include "io/gguf.h"
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

static int advance(struct run *r, size_t count)
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
    return advance(r, count);
}

static int zeros(struct run *r, size_t count)
{
    static const float nothing[1024];
    for (size_t at = 0; at < count; at += 1024) {
        size_t n = count - at < 1024 ? count - at : 1024;
        MR_TRY(mr_tensor_writer_append_f32(r->writer, nothing, n));
        MR_TRY(advance(r, n));
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
    case MR_TARGET_FLA:
    case MR_TARGET_ST:
        return mr_safetensors_begin(writer, path, e->tensors, e->count, e->metadata);
    case MR_TARGET_GGUF:
        return mr_gguf_begin(writer, path, e->tensors, e->count, e->metadata);
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

/* What may be in the folder of a model that is written here; the weights make it one. */
static const char *const config_files[] = {"config.json", NULL};
static const char *const tokenizer_files[] = {"vocab.json",
                                              "merges.txt",
                                              "tokenizer.json",
                                              "tokenizer_config.json",
                                              "rwkv_vocab_v20230424.txt",
                                              "added_tokens.json",
                                              "special_tokens_map.json",
                                              "encoder.json",
                                              "vocab.bpe",
                                              NULL};
static const char *const weight_files[] = {"model.safetensors", "model.safetensors.index.json", NULL};

enum { PATH_SIZE = 4300 };

static void remove_files(const char *folder, const char *const *names)
{
    char path[PATH_SIZE];
    for (int i = 0; names[i]; i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path)
            unlink(path);
}

/* Removes a folder of ours that did not become whole. */
static void remove_folder(const char *folder)
{
    remove_files(folder, config_files);
    remove_files(folder, tokenizer_files);
    remove_files(folder, weight_files);
    rmdir(folder);
}

/* Moves those that are there; 1 if any was. */
static int move_files(const char *from, const char *to, const char *const *names)
{
    char old[PATH_SIZE], new[PATH_SIZE];
    int moved = 0;
    for (int i = 0; names[i]; i++) {
        snprintf(old, sizeof old, "%s/%s", from, names[i]);
        snprintf(new, sizeof new, "%s/%s", to, names[i]);
        if (!mr_is_file(old))
            continue;
        if (rename(old, new))
            return mr_fail(MR_EFILE, "%s cannot be moved into place: %s; the whole model is in %s", new,
                           strerror(errno), from);
        moved = 1;
    }
    return moved;
}

/* Whether the new files have a tokenizer, whose old files must then go. */
static bool has_any(const char *folder, const char *const *names)
{
    char path[PATH_SIZE];
    for (int i = 0; names[i]; i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path && mr_is_file(path))
            return true;
    return false;
}

/* Puts the files of a folder within another one in place there. The old weights go first and the new ones come last: a
 * folder never has the weights of one model and other files of another. */
static int put_in_place(const char *from, const char *to)
{
    remove_files(to, weight_files);
    if (has_any(from, tokenizer_files))
        remove_files(to, tokenizer_files);
    MR_TRY(move_files(from, to, config_files));
    MR_TRY(move_files(from, to, tokenizer_files));
    MR_TRY(move_files(from, to, weight_files));
    rmdir(from);
    return 0;
}

/* The files are written into a new folder, beside the place or in the folder that is there, and then moved into place.
 */
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
    bool is_there = mr_is_folder(target);
    snprintf(temporary, sizeof temporary, is_there ? "%s/.tmp%ld" : "%s.tmp%ld", target, (long)getpid());
    if (mkdir(temporary, 0777))
        return mr_fail(MR_EFILE, "the folder %s cannot be created: %s", is_there ? temporary : target, strerror(errno));
    int err = write_files(e, source, temporary, events);
    if (err) {
        remove_folder(temporary);
        return err;
    }
    if (is_there)
        return put_in_place(temporary, target);
    if (!rename(temporary, target))
        return 0;
    err = mr_fail(MR_EFILE, "the folder %s cannot be created: %s", target, strerror(errno));
    remove_folder(temporary);
    return err;
}

int mr_export_run(const struct mr_export *e, mr_tensor_file *source, const char *path,
                  const struct mr_export_events *events)
{
    if (mr_target_is_folder(e->target))
        return write_folder(e, source, path, events);
    if (mr_is_folder(path))
        return mr_fail(MR_EINVAL, "%s is a folder, and %s is a file: name the file", path, mr_target_name(e->target));
    return write_file(e, source, path, events);
}
