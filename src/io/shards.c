/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/shards.h"

#include <stdio.h>
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
        return mr_fail(MR_EFILE, "%s names the shard \"%s\", but there is no such file beside it", f->base.path, name);
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

/* ---- do the shards belong together? What is certain is an error, what other programs may have written a warning. ----
 */

/* "model-00002-of-00003.safetensors": 2, 3 and the size of "model". */
struct numbering {
    unsigned long number, all;
    size_t prefix;
};

static bool numbering_of(const char *name, struct numbering *n)
{
    const char *of = NULL;
    for (const char *at = name; (at = strstr(at, "-of-")); at++)
        of = at;
    if (!of)
        return false;
    const char *digits = of;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (digits == of || digits == name || digits[-1] != '-' || of[4] < '0' || of[4] > '9')
        return false;
    char *end;
    *n = (struct numbering){strtoul(digits, NULL, 10), strtoul(of + 4, &end, 10), (size_t)(digits - 1 - name)};
    return *end == '.';
}

static int check_numbering(const struct shards *f)
{
    const char *name, *other;
    json_t *number, *other_number;
    json_object_foreach(f->numbers, name, number) {
        struct numbering n, o;
        unsigned long named = 0;
        bool first = true;
        if (!numbering_of(name, &n))
            continue;
        json_object_foreach(f->numbers, other, other_number) {
            if (!numbering_of(other, &o) || o.prefix != n.prefix || strncmp(name, other, n.prefix) != 0)
                continue;
            if (o.all != n.all)
                return mr_fail(
                    MR_EFILE,
                    "%s names %s, one of %lu, and %s, one of %lu: they are from different downloads; fetch all "
                    "shards and the index again",
                    f->base.path, name, n.all, other, o.all);
            first = first && (named > 0 || other == name);
            named++;
        }
        if (first && named != n.all)
            mr_log(MR_LOG_WARNING, "%s names %lu of the %lu shards that %s is one of", f->base.path, named, n.all,
                   name);
    }
    return 0;
}

/* total_size is of all numbers, each stored once. Of truth values other programs count bits, so they are not compared.
 */
static void check_total(const struct shards *f, const json_t *said)
{
    const json_t *total = json_object_get(said, "total_size");
    uint64_t sum = 0;
    if (!json_is_number(total))
        return;
    for (size_t i = 0; i < f->base.count; i++) {
        size_t count, bytes;
        const struct mr_file_tensor *t = &f->base.tensors[i];
        if (t->shares >= 0 || t->dtype == MR_DTYPE_BOOL || mr_file_tensor_size(t, &count, &bytes))
            return;
        sum += bytes;
    }
    if ((double)sum != json_number_value(total))
        mr_log(MR_LOG_WARNING,
               "%s gives a total of %.0f bytes, but its shards hold %llu: are they from the same download?",
               f->base.path, json_number_value(total), (unsigned long long)sum);
}

static void check_unnamed(const struct shards *f, const json_t *map)
{
    size_t unnamed = 0, one = 0;
    for (size_t i = 0; i < f->base.count; i++) {
        if (json_object_get(map, f->base.tensors[i].name))
            continue;
        if (!unnamed++)
            one = i;
    }
    if (unnamed)
        mr_log(MR_LOG_WARNING,
               "%s does not name %zu tensors of its shards, as \"%s\" in %s: are they from the same download?",
               f->base.path, unnamed, f->base.tensors[one].name, f->list[f->base.tensors[one].place >> 32]->path);
}

/* Metadata that shards hold under one key are of the whole set. */
static void check_metadata(const struct shards *f)
{
    const char *key;
    json_t *value;
    for (size_t i = 1; i < f->count; i++) {
        json_object_foreach(f->list[i]->metadata, key, value) {
            const json_t *other = json_object_get(f->list[0]->metadata, key);
            if (!other || json_equal(value, other))
                continue;
            mr_log(MR_LOG_WARNING, "the shards %s and %s differ in their \"%s\": are they from the same download?",
                   f->list[0]->path, f->list[i]->path, key);
            return;
        }
    }
}

/* The revision that Hugging Face's tools note beside what they fetch into a folder; 0: none noted. */
static int revision_of(const char *path, char revision[64])
{
    struct mr_str s = {0}, content = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int err = mr_str_printf(&s, "%.*s.cache/huggingface/download/%s.metadata", (int)(name - path), path, name);
    revision[0] = 0;
    if (!err && mr_is_file(s.text) && !mr_file_read(s.text, 1 << 16, &content))
        snprintf(revision, 64, "%.*s", (int)strcspn(content.text, "\r\n"), content.text);
    mr_str_free(&content);
    mr_str_free(&s);
    return err ? err : revision[0] != 0;
}

static int check_revisions(const struct shards *f)
{
    char first[64], revision[64];
    int noted = revision_of(f->base.path, first);
    const char *of = f->base.path;
    for (size_t i = 0; i < f->count && noted >= 0; i++) {
        int here = revision_of(f->list[i]->path, revision);
        if (here < 0)
            return here;
        if (here && noted && strcmp(first, revision) != 0) {
            mr_log(MR_LOG_WARNING, "%s was fetched at revision %.12s, %s at %.12s: fetch all of one revision", of,
                   first, f->list[i]->path, revision);
            return 0;
        }
        if (here && !noted) {
            noted = here;
            of = f->list[i]->path;
            memcpy(first, revision, sizeof first);
        }
    }
    return noted < 0 ? noted : 0;
}

static int check_set(const struct shards *f, const json_t *map, const json_t *said)
{
    MR_TRY(check_numbering(f));
    MR_TRY(check_map(f, map));
    check_total(f, said);
    check_unnamed(f, map);
    check_metadata(f);
    return check_revisions(f);
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
    const json_t *said = json_object_get(json, "metadata");
    MR_GO(check_set(f, map, said));
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
