/* SPDX-License-Identifier: GPL-3.0-or-later
 * What torch.save wrote before version 1.6. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file_kind.h"
#include "base/error.h"
#include "io/torch_file.h"
#include "io/torch_views.h"

/* 0x1950a86a20f9469cfc6c, which every file begins with: as a number of 10 bytes, or as a line of text. */
#define MAGIC "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define MAGIC_LINE "L119547037146038801333356L\n."

enum { VERSION = 1001 };

struct storage {
    const struct mr_pickled *key;
    size_t order;    /* among those of the file */
    size_t width;    /* bytes of a number; 0: the object's pickle does not say it */
    uint64_t offset; /* of the numbers in the file */
    int64_t count;
};

struct old_file {
    struct mr_torch_views views;
    mr_reader *in;
    uint64_t size;         /* of the file */
    uint8_t *bytes;        /* its beginning, where all the pickles are */
    size_t have, at;       /* of bytes: how many, and up to where they were read */
    struct mr_pickle keys; /* a list of texts */
    struct storage *storages, **by_order;
    size_t count; /* of storages, sorted by key */
};

bool mr_torch_is_old(const uint8_t *head, size_t size)
{
    const size_t magic = sizeof MAGIC - 1;
    if (size >= sizeof MAGIC_LINE - 1 && !memcmp(head, MAGIC_LINE, sizeof MAGIC_LINE - 1))
        return true;
    if (size < 2 + magic || head[0] != 0x80)
        return false;
    return !memcmp(head + 2, MAGIC, magic) ||
           (size >= 11 + magic && head[2] == 0x95 && !memcmp(head + 11, MAGIC, magic)); /* in a frame */
}

static void close_file(mr_tensor_file *file)
{
    struct old_file *f = (struct old_file *)file;
    mr_torch_views_free(&f->views);
    mr_pickle_free(&f->keys);
    mr_reader_close(f->in);
    free(f->bytes);
    free(f->storages);
    free(f->by_order);
}

static int read_storage(struct mr_torch_views *views, int64_t entry, uint64_t offset, size_t size, void *to)
{
    struct old_file *f = (struct old_file *)views;
    return mr_reader_read(f->in, f->by_order[entry]->offset + offset, to, size);
}

static const struct mr_tensor_file_format format = {"torch", mr_torch_views_read, close_file};

/* The beginning of a file: as much as five pickles may have. */
static int read_beginning(const char *path, mr_reader **in, uint8_t **bytes, size_t *size)
{
    MR_TRY(mr_reader_open(in, path));
    uint64_t all = mr_reader_size(*in);
    *size = all < MR_PICKLE_LARGEST ? (size_t)all : MR_PICKLE_LARGEST;
    if (!(*bytes = mr_alloc(*size, 1)))
        return MR_ENOMEM;
    return mr_reader_read(*in, 0, *bytes, *size);
}

static int next_pickle(struct old_file *f, struct mr_pickle *pickle)
{
    MR_TRY(mr_pickle_read(pickle, f->bytes + f->at, f->have - f->at, f->views.base.path));
    f->at += pickle->size;
    return 0;
}

/* The three pickles that say what the file is: a number, a version, {"little_endian": True, …}. */
static int check_head(struct old_file *f)
{
    const char *path = f->views.base.path;
    struct mr_pickle pickle;
    MR_TRY(next_pickle(f, &pickle));
    mr_pickle_free(&pickle);
    MR_TRY(next_pickle(f, &pickle));
    bool known = pickle.root->kind == MR_PICKLED_INT && pickle.root->integer == VERSION;
    mr_pickle_free(&pickle);
    if (!known)
        return mr_fail(MR_EFILE, "%s: its version is not %d, as of all files of torch before 1.6", path, VERSION);
    MR_TRY(next_pickle(f, &pickle));
    const struct mr_pickled *little = mr_pickled_get(pickle.root, "little_endian");
    bool big = little && little->kind == MR_PICKLED_BOOL && !little->truth;
    mr_pickle_free(&pickle);
    return big ? mr_fail(MR_EFILE, "%s: its byte order is big, not little", path) : 0;
}

static int compare_texts(const struct mr_pickled *a, const struct mr_pickled *b)
{
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_storages(const void *a, const void *b)
{
    return compare_texts(((const struct storage *)a)->key, ((const struct storage *)b)->key);
}

static struct storage *find_storage(const struct old_file *f, const struct mr_pickled *key)
{
    struct storage wanted = {.key = key};
    return f->count ? bsearch(&wanted, f->storages, f->count, sizeof wanted, compare_storages) : NULL;
}

/* The keys in the order of the storages, each a text and each once. */
static int read_keys(struct old_file *f)
{
    MR_TRY(next_pickle(f, &f->keys));
    const struct mr_pickled *list = f->keys.root;
    if (list->kind != MR_PICKLED_LIST)
        return mr_fail(MR_EFILE, "%s: the list of its storages is none", f->views.base.path);
    f->storages = mr_alloc(list->count, sizeof *f->storages);
    f->by_order = mr_alloc(list->count, sizeof(struct storage *));
    if (!f->storages || !f->by_order)
        return MR_ENOMEM;
    for (; f->count < list->count; f->count++) {
        if (list->items[f->count]->kind != MR_PICKLED_TEXT)
            return mr_fail(MR_EFILE, "%s: the key of storage %zu is no text", f->views.base.path, f->count);
        f->storages[f->count] = (struct storage){.key = list->items[f->count], .order = f->count};
    }
    qsort(f->storages, f->count, sizeof *f->storages, compare_storages);
    for (size_t i = 0; i < f->count; i++) {
        f->by_order[f->storages[i].order] = &f->storages[i];
        if (i && !compare_texts(f->storages[i - 1].key, f->storages[i].key))
            return mr_fail(MR_EFILE, "%s: two of its storages have the same key", f->views.base.path);
    }
    return 0;
}

/* Where each storage is: one behind the other, each with its count before it. */
static int find_storages(struct old_file *f)
{
    const char *path = f->views.base.path;
    for (const struct mr_pickled_storage *s = f->views.tree.pickle.storages; s; s = s->next) {
        struct storage *known = find_storage(f, s->key);
        if (known)
            known->width = s->width;
    }
    uint64_t at = f->at;
    for (size_t i = 0; i < f->count; i++) {
        struct storage *s = f->by_order[i];
        uint64_t count = 0, bytes;
        if (!s->width)
            return mr_fail(MR_EFILE, "%s: storage %zu is of a type that is not known: save the file anew without it",
                           path, i);
        if (at > f->size || f->size - at < 8)
            return mr_fail(MR_EFILE, "%s is cut short: storage %zu of %zu is missing", path, i, f->count);
        MR_TRY(mr_reader_read(f->in, at, &count, 8));
        s->offset = at + 8;
        s->count = (int64_t)count;
        if (count > INT64_MAX || __builtin_mul_overflow(count, s->width, &bytes) || bytes > f->size - s->offset)
            return mr_fail(MR_EFILE, "%s: storage %zu would have %llu numbers, more than are there", path, i,
                           (unsigned long long)count);
        at = s->offset + bytes;
    }
    return 0;
}

/* Enters a tensor of the tree; called for each in order. */
static int add_view(struct old_file *f, size_t index)
{
    struct mr_torch_view *view = &f->views.tree.views[index];
    const struct mr_pickled_storage *s = view->tensor->storage;
    const struct storage *known = find_storage(f, s->key);
    if (!known)
        return mr_fail(MR_EFILE, "%s: the storage of tensor \"%s\" is missing", f->views.base.path, view->name);
    size_t width = mr_dtype_block_bytes(s->dtype);
    if ((uint64_t)s->offset + (uint64_t)s->count > (uint64_t)known->count * known->width / width)
        return mr_fail(MR_EFILE, "%s: the storage of tensor \"%s\" has %lld numbers, where %lld belong",
                       f->views.base.path, view->name, (long long)known->count, (long long)(s->offset + s->count));
    view->entry = (int64_t)known->order;
    return mr_torch_views_add(&f->views, index);
}

int mr_torch_old_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct old_file *f = NULL;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    f->views.read = read_storage;
    MR_GO(read_beginning(path, &f->in, &f->bytes, &f->have));
    f->size = mr_reader_size(f->in);
    MR_GO(check_head(f));
    MR_GO(mr_torch_tree_read(&f->views.tree, f->bytes + f->at, f->have - f->at, path, f->views.base.metadata));
    f->at += f->views.tree.pickle.size;
    MR_GO(read_keys(f));
    MR_GO(find_storages(f));
    MR_GO(mr_torch_tree_entries(&f->views.tree, f->count));
    for (size_t i = 0; i < f->views.tree.count; i++)
        MR_GO(add_view(f, i));
    MR_GO(mr_torch_views_finish(&f->views));
    *file = &f->views.base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}

static int old_globals(struct mr_pickle_asked *asked, const char *path, int pickles)
{
    mr_reader *in = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0, at = 0, used = 0;
    int err = read_beginning(path, &in, &bytes, &size);
    for (int i = 0; i < pickles && !err; i++, at += used)
        err = mr_pickle_globals(asked, bytes + at, size - at, &used, path);
    free(bytes);
    mr_reader_close(in);
    return err;
}

int mr_torch_globals(struct mr_pickle_asked *asked, const char *path)
{
    uint8_t head[64];
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, path));
    size_t size = mr_reader_size(in) < sizeof head ? (size_t)mr_reader_size(in) : sizeof head;
    int err = mr_reader_read(in, 0, head, size);
    mr_reader_close(in);
    if (err)
        return err;
    if (size >= 4 && !memcmp(head, "PK\3\4", 4))
        return mr_torch_zip_globals(asked, path);
    err = old_globals(asked, path, mr_torch_is_old(head, size) ? 5 : 1);
    if (err != MR_EFILE || head[0] == 0x80 || asked->count)
        return err;
    mr_fail(MR_EFILE, "%s is neither a torch file nor a pickle", path);
    return mr_fail_kind(MR_EFILE, path);
}
