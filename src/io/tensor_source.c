/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/tensor_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file_kind.h"
#include "io/ggml_bin.h"
#include "io/gguf.h"
#include "io/mrw.h"
#include "io/safetensors.h"
#include "io/shards.h"
#include "io/torch_file.h"

static int read_head(const char *path, uint8_t head[MR_FILE_HEAD], size_t *got)
{
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, path));
    uint64_t size = mr_reader_size(in);
    *got = size < MR_FILE_HEAD ? (size_t)size : MR_FILE_HEAD;
    int err = mr_reader_read(in, 0, head, *got);
    mr_reader_close(in);
    return err;
}

/* The safetensors header's size may be any bytes, also those that other formats begin with; but none of them
 * has the byte that follows it. A .bin file may. */
static int open_one(mr_tensor_file **file, const char *path)
{
    uint8_t head[MR_FILE_HEAD] = {0};
    size_t size;
    MR_TRY(read_head(path, head, &size));
    if (memcmp(head, MR_MRW_MAGIC, 8) == 0)
        return mr_mrw_open(file, path);
    if (memcmp(head, MR_GGML_MAGIC, 4) == 0)
        return mr_ggml_bin_open(file, path);
    if (memcmp(head, MR_GGUF_MAGIC, 4) == 0)
        return mr_gguf_open(file, path);
    if (head[8] == '{')
        return mr_safetensors_open(file, path);
    if (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0)
        return mr_torch_open(file, path);
    if (mr_torch_is_old(head, size))
        return mr_torch_old_open(file, path);
    if (head[0] == 0x80 && head[1] <= 5)
        return mr_fail(MR_EFILE, "%s is a bare pickle; load it in Python and save it with torch.save", path);
    const char *kind = mr_file_kind(head, size);
    if (!kind)
        kind = mr_text_kind(head, size);
    return kind ? mr_fail(MR_EFILE, "%s is no model but %s", path, kind)
                : mr_fail(MR_EFILE, "%s is of no known format: it is neither .mrw nor safetensors, torch, .bin or GGUF",
                          path);
}

/* A file that has no config itself may have one beside it. */
static int add_config(mr_tensor_file *file)
{
    const json_t *said = file->metadata;
    if (json_object_get(said, "config") || json_object_get(said, "model_args"))
        return 0;
    char *path = mr_path_beside(file->path, "config.json");
    int err = path ? 0 : MR_ENOMEM;
    if (!err && mr_is_file(path))
        err = mr_json_load(&file->config, path);
    if (!err && file->config && !json_is_object(file->config))
        err = mr_fail(MR_EFILE, "%s is not a JSON object", path);
    free(path);
    return err;
}

static int open_file(mr_tensor_file **result, const char *path)
{
    uint8_t head[MR_FILE_HEAD] = {0};
    mr_tensor_file *file = NULL;
    size_t size;
    MR_TRY(read_head(path, head, &size));
    bool is_index = head[0] == '{' && head[8] != '{';
    MR_TRY(is_index ? mr_shards_open(&file, path, open_one) : open_one(&file, path));
    bool whole = memcmp(head, MR_MRW_MAGIC, 8) == 0 || memcmp(head, MR_GGML_MAGIC, 4) == 0 ||
                 memcmp(head, MR_GGUF_MAGIC, 4) == 0;
    int err = whole ? 0 : add_config(file);
    if (err)
        mr_tensor_file_close(file);
    else
        *result = file;
    return err;
}

static int open_folder(mr_tensor_file **file, const char *folder)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                        "pytorch_model.bin.index.json"};
    if (access(folder, R_OK | X_OK))
        return mr_fail(MR_EFILE, "the folder %s cannot be read: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct mr_str path = {0};
        int err = mr_str_printf(&path, "%s/%s", folder, names[i]);
        bool is_there = !err && mr_is_file(path.text);
        if (is_there)
            err = open_file(file, path.text);
        mr_str_free(&path);
        if (err || is_there)
            return err;
    }
    return mr_fail(MR_EFILE,
                   "the folder %s holds no model: neither model.safetensors nor pytorch_model.bin, nor their "
                   "index.json",
                   folder);
}

int mr_tensor_source_open(mr_tensor_file **file, const char *path)
{
    return mr_is_folder(path) ? open_folder(file, path) : open_file(file, path);
}
