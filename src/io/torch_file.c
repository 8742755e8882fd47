/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/torch_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/torch_views.h"

struct torch_file {
    struct mr_torch_views views;
    zip_t *zip;
    char *folder; /* of the archive, with its slash: "archive/" */
    uint64_t size;
    uint8_t *pickle;

    /* The storage that is being read, and where. */
    zip_file_t *open;
    int64_t open_entry;
    uint64_t at;
};

static void close_entry(struct torch_file *f)
{
    if (f->open)
        zip_fclose(f->open);
    f->open = NULL;
}

static void close_file(mr_tensor_file *file)
{
    struct torch_file *f = (struct torch_file *)file;
    close_entry(f);
    if (f->zip)
        zip_discard(f->zip);
    mr_torch_views_free(&f->views);
    free(f->pickle);
    free(f->folder);
}

/* Whether libzip had no memory, itself or within zlib. */
static bool is_out_of_memory(const zip_error_t *error)
{
    int code = zip_error_code_zip(error);
    if (zip_error_system_type(error) == ZIP_ET_SYS && zip_error_code_system(error) == ENOMEM)
        return true;
    return code == ZIP_ER_MEMORY || (code == ZIP_ER_ZLIB && zip_error_code_system(error) == Z_MEM_ERROR);
}

static int no_memory(const struct torch_file *f)
{
    return mr_fail(MR_ENOMEM, "out of memory while %s is read", f->views.base.path);
}

/* The size of a file in the archive; what torch writes is never compressed. */
static int entry_size(const struct torch_file *f, int64_t entry, uint64_t *size)
{
    zip_stat_t st;
    if (zip_stat_index(f->zip, (zip_uint64_t)entry, 0, &st) || !(st.valid & ZIP_STAT_SIZE) ||
        !(st.valid & ZIP_STAT_COMP_METHOD) || !(st.valid & ZIP_STAT_NAME))
        return is_out_of_memory(zip_get_error(f->zip))
                   ? no_memory(f)
                   : mr_fail(MR_EFILE, "%s: its file %lld cannot be examined", f->views.base.path, (long long)entry);
    if (st.comp_method != ZIP_CM_STORE || (st.valid & ZIP_STAT_ENCRYPTION_METHOD && st.encryption_method))
        return mr_fail(MR_EFILE, "%s: %s is compressed or encrypted, which torch never does; save the file anew",
                       f->views.base.path, st.name);
    if (st.size > f->size || (st.valid & ZIP_STAT_COMP_SIZE && st.comp_size != st.size))
        return mr_fail(MR_EFILE, "%s: %s would have %llu bytes, more than are there", f->views.base.path, st.name,
                       (unsigned long long)st.size);
    *size = st.size;
    return 0;
}

/* result: what zip_fread gave, 0 where the bytes end too early. */
static int read_failed(struct torch_file *f, int64_t entry, uint64_t offset, int64_t result)
{
    const char *name = zip_get_name(f->zip, (zip_uint64_t)entry, ZIP_FL_ENC_RAW);
    const char *why = !result ? "it ends there" : f->open ? zip_file_strerror(f->open) : zip_strerror(f->zip);
    const zip_error_t *error = f->open ? zip_file_get_error(f->open) : zip_get_error(f->zip);
    if (result && is_out_of_memory(error)) {
        close_entry(f);
        return no_memory(f);
    }
    int err = mr_fail(MR_EFILE, "%s: %s cannot be read at byte %llu: %s", f->views.base.path,
                      name ? name : "a file of it", (unsigned long long)offset, why);
    close_entry(f);
    return err;
}

/* Bytes of a stored file. At its very end its checksum is verified, if it was read in order. */
static int read_entry(struct mr_torch_views *views, int64_t entry, uint64_t offset, size_t size, void *to)
{
    struct torch_file *f = (struct torch_file *)views;
    if (!f->open || f->open_entry != entry || f->at != offset) {
        close_entry(f);
        f->open_entry = entry;
        f->at = offset;
        if (!(f->open = zip_fopen_index(f->zip, (zip_uint64_t)entry, 0)) ||
            (offset && zip_fseek(f->open, (zip_int64_t)offset, SEEK_SET)))
            return read_failed(f, entry, offset, -1);
    }
    for (uint8_t *out = to; size;) {
        zip_int64_t n = zip_fread(f->open, out, size);
        if (n <= 0)
            return read_failed(f, entry, f->at, n);
        out += n;
        size -= (size_t)n;
        f->at += (uint64_t)n;
    }
    uint64_t length = 0;
    uint8_t beyond;
    MR_TRY(entry_size(f, entry, &length));
    return f->at == length && zip_fread(f->open, &beyond, 1) != 0 ? read_failed(f, entry, f->at, -1) : 0;
}

static const struct mr_tensor_file_format format = {"torch", mr_torch_views_read, close_file};

/* ---- opening ---- */

static int open_zip(struct torch_file *f)
{
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, f->views.base.path));
    f->size = mr_reader_size(in);
    mr_reader_close(in);
    int code = 0;
    f->zip = zip_open(f->views.base.path, ZIP_RDONLY, &code);
    if (!f->zip) /* libzip also tells an allocation that failed as a broken archive: a second try shows */
        f->zip = zip_open(f->views.base.path, ZIP_RDONLY, &code);
    if (f->zip)
        return 0;
    zip_error_t error;
    void *some = mr_alloc(1 << 16, 1);
    zip_error_init_with_code(&error, code);
    int err = !some || is_out_of_memory(&error)
                  ? no_memory(f)
                  : mr_fail(MR_EFILE, "%s is not a whole zip archive, as torch writes them: %s", f->views.base.path,
                            zip_error_strerror(&error));
    zip_error_fini(&error);
    free(some);
    return err;
}

/* Finds FOLDER/data.pkl. */
static int find_pickle(struct torch_file *f, int64_t *entry)
{
    zip_int64_t n = zip_get_num_entries(f->zip, 0);
    for (*entry = 0; *entry < n; ++*entry) {
        const char *name = zip_get_name(f->zip, (zip_uint64_t)*entry, ZIP_FL_ENC_RAW);
        size_t size = name ? strlen(name) : 0;
        if (size >= 8 && !strcmp(name + size - 8, "data.pkl") && (size == 8 || name[size - 9] == '/')) {
            if (!(f->folder = mr_strdup(name)))
                return MR_ENOMEM;
            f->folder[size - 8] = 0;
            return 0;
        }
    }
    return mr_fail(MR_EFILE, "%s is a zip archive without data.pkl: torch did not write it", f->views.base.path);
}

static int64_t find_entry(const struct torch_file *f, const char *folder, const char *name, size_t size)
{
    char full[512];
    int n = snprintf(full, sizeof full, "%s%s%.*s", f->folder, folder, (int)(size < 256 ? size : 256), name);
    return n > 0 && (size_t)n < sizeof full ? zip_name_locate(f->zip, full, ZIP_FL_ENC_RAW) : -1;
}

static int check_byte_order(struct torch_file *f)
{
    char order[8] = "";
    uint64_t size;
    int64_t entry = find_entry(f, "", "byteorder", 9);
    if (entry < 0)
        return 0;
    MR_TRY(entry_size(f, entry, &size));
    if (size < sizeof order)
        MR_TRY(read_entry(&f->views, entry, 0, (size_t)size, order));
    return strncmp(order, "little", 6)
               ? mr_fail(MR_EFILE, "%s: its byte order is %.7s, not little", f->views.base.path, order)
               : 0;
}

/* Enters a tensor of the tree; called for each in order. */
static int add_view(struct torch_file *f, size_t index)
{
    struct mr_torch_view *view = &f->views.tree.views[index];
    const struct mr_pickled_storage *s = view->tensor->storage;
    size_t width = mr_dtype_block_bytes(s->dtype);
    uint64_t size;
    view->entry = find_entry(f, "data/", s->key->text, s->key->size);
    if (view->entry < 0)
        return mr_fail(MR_EFILE, "%s: the storage data/%.*s of tensor \"%s\" is missing", f->views.base.path,
                       (int)(s->key->size < 64 ? s->key->size : 64), s->key->text, view->name);
    MR_TRY(entry_size(f, view->entry, &size));
    if ((uint64_t)s->count > size / width)
        return mr_fail(MR_EFILE, "%s: the storage of tensor \"%s\" has %llu bytes, where %lld numbers of %zu belong",
                       f->views.base.path, view->name, (unsigned long long)size, (long long)s->count, width);
    return mr_torch_views_add(&f->views, index);
}

/* Opens the archive and reads its pickle. */
static int open_pickle(struct torch_file *f, size_t *size)
{
    int64_t entry = 0;
    uint64_t bytes = 0;
    f->views.read = read_entry;
    MR_TRY(open_zip(f));
    MR_TRY(find_pickle(f, &entry));
    MR_TRY(check_byte_order(f));
    MR_TRY(entry_size(f, entry, &bytes));
    if (bytes > MR_PICKLE_LARGEST)
        return mr_fail(MR_EFILE, "%s: its data.pkl has %llu bytes, more than any that is known", f->views.base.path,
                       (unsigned long long)bytes);
    *size = (size_t)bytes;
    if (!(f->pickle = mr_realloc(NULL, *size, 1)))
        return MR_ENOMEM;
    return read_entry(&f->views, entry, 0, *size, f->pickle);
}

int mr_torch_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct torch_file *f = NULL;
    size_t size = 0;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(open_pickle(f, &size));
    MR_GO(mr_torch_tree_read(&f->views.tree, f->pickle, size, path, f->views.base.metadata));
    MR_GO(mr_torch_tree_entries(&f->views.tree, (size_t)zip_get_num_entries(f->zip, 0)));
    for (size_t i = 0; i < f->views.tree.count; i++)
        MR_GO(add_view(f, i));
    MR_GO(mr_torch_views_finish(&f->views));
    *file = &f->views.base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}

int mr_torch_zip_globals(struct mr_pickle_asked *asked, const char *path)
{
    struct torch_file *f = NULL;
    size_t size = 0;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    int err = open_pickle(f, &size);
    if (!err)
        err = mr_pickle_globals(asked, f->pickle, size, &size, path);
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}
