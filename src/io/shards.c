/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/shards.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

enum { MOST_SHARDS = 1000 };

struct shards {
    mr_tensor_file base; /* place: (shard << 32) + index in the shard */
    mr_tensor_file **list;
    size_t count;
    json_t *numbers; /* a shard's name: its number */
};

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    uint64_t place = file->tensors[i].place;
    mr_tensor_file *shard = ((struct shards *)file)->list[place >> 32];
    return mr_tensor_file_read(shard, (size_t)(place & UINT32_MAX), offset, size, to);
}

static void close_file(mr_tensor_file *file)
{
    struct shards *f = (struct shards *)file;
    for (size_t i = 0; i < f->count; i++)
        mr_tensor_file_close(f->list[i]);
    free(f->list);
    json_decref(f->numbers);
}

static const struct mr_tensor_file_format format = {"shards", read_bytes, close_file};

char *mr_path_beside(const char *path, const char *name)
{
    struct mr_str s = {0};
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    if (mr_str_printf(&s, "%.*s%s", folder, path, name)) {
        mr_str_free(&s);
        return NULL;
    }
    return s.text;
}

static int open_shard(struct shards *f, const char *name, int (*open)(mr_tensor_file **, const char *))
{
    if (f->count == MOST_SHARDS)
        return mr_fail(MR_EFILE, "%s names more than %d shards", f->base.path, MOST_SHARDS);
    if (!*name || strchr(name, '/'))
        return mr_fail(MR_EFILE, "%s names the shard \"%s\", which is no file beside it", f->base.path, name);
    char *path = mr_path_beside(f->base.path, name);
    mr_tensor_file **list = path ? mr_realloc(f->list, f->count + 1, sizeof *list) : NULL;
    int err = list ? 0 : MR_ENOMEM;
    if (list)
        f->list = list;
    if (!err && !mr_is_file(path))
        err =
            mr_fail(MR_EFILE, "%s: the shard %s is missing; all shards belong beside their index", f->base.path, name);
    if (!err)
        err = open(&f->list[f->count], path);
    free(path);
    if (err)
        return err;
    f->count++;
    return mr_json_set(f->numbers, name, json_integer((json_int_t)f->count - 1));
}

static int add_tensors(struct shards *f, size_t shard)
{
    const mr_tensor_file *from = f->list[shard];
    size_t before = f->base.count;
    for (size_t i = 0; i < from->count; i++) {
        const struct mr_file_tensor *t = &from->tensors[i];
        MR_TRY(mr_tensor_file_add(&f->base, t->name, strlen(t->name), t->dtype, t->ndim, t->shape,
                                  (uint64_t)shard << 32 | i));
        f->base.tensors[before + i].shares = t->shares < 0 ? -1 : t->shares + (int64_t)before;
    }
    return 0;
}

/* Every tensor of the index is in the shard that the index says. */
static int check_map(const struct shards *f, const json_t *map)
{
    const char *name;
    json_t *shard;
    json_object_foreach((json_t *)(uintptr_t)map, name, shard) {
        int64_t i = mr_tensor_file_find(&f->base, name);
        json_int_t number = json_integer_value(json_object_get(f->numbers, json_string_value(shard)));
        if (i < 0 || f->base.tensors[i].place >> 32 != (uint64_t)number)
            return mr_fail(MR_EFILE, "%s: tensor \"%s\" is not in the shard %s", f->base.path, name,
                           json_string_value(shard));
    }
    return 0;
}

int mr_shards_open(mr_tensor_file **file, const char *index, int (*open)(mr_tensor_file **, const char *))
{
    int err;
    struct shards *f = NULL;
    json_t *json = NULL, *map = NULL, *shard;
    const char *name;
    MR_TRY(mr_json_load(&json, index));
    MR_GO(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, index));
    if (!(f->numbers = json_object())) {
        err = mr_fail(MR_ENOMEM, "%s: out of memory", index);
        goto fail;
    }
    if ((err = mr_json_object(json, "weight_map", &map)) < 0) {
        mr_fail_in(err = MR_EFILE, "%s", index);
        goto fail;
    }
    json_object_foreach(map, name, shard) {
        if (!json_is_string(shard)) {
            err = mr_fail(MR_EFILE, "%s: the weight_map names no file for tensor \"%s\"", index, name);
            goto fail;
        }
        if (json_object_get(f->numbers, json_string_value(shard)))
            continue;
        MR_GO(open_shard(f, json_string_value(shard), open));
        MR_GO(add_tensors(f, f->count - 1));
    }
    MR_GO(check_map(f, map));
    const json_t *said = json_object_get(json, "metadata");
    if (json_is_object(said) && json_object_update(f->base.metadata, (json_t *)(uintptr_t)said)) {
        err = mr_fail(MR_ENOMEM, "%s: out of memory", index);
        goto fail;
    }
    *file = &f->base;
    f = NULL;
fail:
    json_decref(json);
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}
