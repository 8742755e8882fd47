/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/torch_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/torch_tree.h"

struct torch_file {
    mr_tensor_file base; /* tensor i is tree.views[i] */
    zip_t *zip;
    char *folder; /* of the archive, with its slash: "archive/" */
    uint64_t size;
    struct mr_torch_tree tree;

    /* The storage that is being read, and where. */
    zip_file_t *open;
    int64_t open_entry;
    uint64_t at;

    /* The part of its storage that the tensor of this index sees, where it does not lie there as it is. */
    uint8_t *extent;
    size_t extent_of;
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
    mr_torch_tree_free(&f->tree);
    free(f->folder);
    free(f->extent);
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
    return mr_fail(MR_ENOMEM, "out of memory while %s is read", f->base.path);
}

/* The size of a file in the archive; what torch writes is never compressed. */
static int entry_size(const struct torch_file *f, int64_t entry, uint64_t *size)
{
    zip_stat_t st;
    if (zip_stat_index(f->zip, (zip_uint64_t)entry, 0, &st) || !(st.valid & ZIP_STAT_SIZE) ||
        !(st.valid & ZIP_STAT_COMP_METHOD) || !(st.valid & ZIP_STAT_NAME))
        return is_out_of_memory(zip_get_error(f->zip))
                   ? no_memory(f)
                   : mr_fail(MR_EFILE, "%s: its file %lld cannot be examined", f->base.path, (long long)entry);
    if (st.comp_method != ZIP_CM_STORE || (st.valid & ZIP_STAT_ENCRYPTION_METHOD && st.encryption_method))
        return mr_fail(MR_EFILE, "%s: %s is compressed or encrypted, which torch never does; save the file anew",
                       f->base.path, st.name);
    if (st.size > f->size || (st.valid & ZIP_STAT_COMP_SIZE && st.comp_size != st.size))
        return mr_fail(MR_EFILE, "%s: %s would have %llu bytes, more than are there", f->base.path, st.name,
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
    int err = mr_fail(MR_EFILE, "%s: %s cannot be read at byte %llu: %s", f->base.path, name ? name : "a file of it",
                      (unsigned long long)offset, why);
    close_entry(f);
    return err;
}

/* Bytes of a stored file. At its very end its checksum is verified, if it was read in order. */
static int read_entry(struct torch_file *f, int64_t entry, uint64_t offset, size_t size, void *to)
{
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

static bool is_contiguous(const struct mr_pickled_tensor *t)
{
    int64_t want = 1;
    for (int i = t->ndim; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != want)
            return false;
        want *= t->shape[i];
    }
    return true;
}

/* From the first element that the tensor sees to the last (all in the storage, as the pickle machine checked): kept
 * until another is asked for. */
static int load_extent(struct torch_file *f, size_t i, const struct mr_pickled_tensor *t, size_t width)
{
    if (f->extent && f->extent_of == i)
        return 0;
    size_t count = 1;
    for (int k = 0; k < t->ndim; k++)
        count += (size_t)((t->shape[k] - 1) * t->stride[k]);
    free(f->extent);
    if (!(f->extent = mr_realloc(NULL, count, width)))
        return MR_ENOMEM;
    f->extent_of = i;
    int err = read_entry(f, f->tree.views[i].entry, (uint64_t)t->offset * width, count * width, f->extent);
    if (err) {
        free(f->extent);
        f->extent = NULL;
    }
    return err;
}

/* Collects elements first..first+n-1 of a tensor with strides: runs along the last dimension. */
static void gather(const struct mr_pickled_tensor *t, const uint8_t *extent, size_t width, uint64_t first, size_t n,
                   uint8_t *to)
{
    int last = t->ndim - 1;
    uint64_t row = last >= 0 ? (uint64_t)t->shape[last] : 1;
    while (n) {
        uint64_t column = first % row, rest = first / row;
        int64_t at = 0;
        for (int i = last; i-- > 0;) {
            at += (int64_t)(rest % (uint64_t)t->shape[i]) * t->stride[i];
            rest /= (uint64_t)t->shape[i];
        }
        int64_t stride = last >= 0 ? t->stride[last] : 0;
        size_t run = row - column < n ? (size_t)(row - column) : n;
        for (size_t k = 0; k < run; k++, to += width)
            memcpy(to, extent + (size_t)(at + (int64_t)(column + k) * stride) * width, width);
        first += run;
        n -= run;
    }
}

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct torch_file *f = (struct torch_file *)file;
    const struct mr_torch_view *view = &f->tree.views[i];
    const struct mr_pickled_tensor *t = view->tensor;
    size_t width = mr_dtype_block_bytes(file->tensors[i].dtype);
    if (is_contiguous(t))
        return read_entry(f, view->entry, (uint64_t)t->offset * width + offset, size, to);
    MR_TRY(load_extent(f, i, t, width));
    uint8_t *out = to;
    while (size) { /* the first and the last element may be wanted in part */
        uint8_t element[8];
        size_t inside = (size_t)(offset % width), n = width - inside < size ? width - inside : size;
        if (inside || size < width) {
            gather(t, f->extent, width, offset / width, 1, element);
            memcpy(out, element + inside, n);
        } else {
            n = size / width * width;
            gather(t, f->extent, width, offset / width, n / width, out);
        }
        out += n;
        offset += n;
        size -= n;
    }
    return 0;
}

static const struct mr_tensor_file_format format = {"torch", read_bytes, close_file};

/* ---- opening ---- */

static int open_zip(struct torch_file *f)
{
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, f->base.path));
    f->size = mr_reader_size(in);
    mr_reader_close(in);
    int code = 0;
    f->zip = zip_open(f->base.path, ZIP_RDONLY, &code);
    if (!f->zip) /* libzip also tells an allocation that failed as a broken archive: a second try shows */
        f->zip = zip_open(f->base.path, ZIP_RDONLY, &code);
    if (f->zip)
        return 0;
    zip_error_t error;
    void *some = mr_alloc(1 << 16, 1);
    zip_error_init_with_code(&error, code);
    int err = !some || is_out_of_memory(&error)
                  ? no_memory(f)
                  : mr_fail(MR_EFILE, "%s is not a whole zip archive, as torch writes them: %s", f->base.path,
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
    return mr_fail(MR_EFILE, "%s is a zip archive without data.pkl: torch did not write it", f->base.path);
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
        MR_TRY(read_entry(f, entry, 0, (size_t)size, order));
    return strncmp(order, "little", 6)
               ? mr_fail(MR_EFILE, "%s: its byte order is %.7s, not little", f->base.path, order)
               : 0;
}

/* Enters a tensor of the tree; called for each in order. */
static int add_view(struct torch_file *f, size_t index)
{
    struct mr_torch_view *view = &f->tree.views[index];
    const struct mr_pickled_tensor *t = view->tensor;
    const struct mr_pickled_storage *s = t->storage;
    size_t width = mr_dtype_block_bytes(s->dtype), count, bytes;
    uint64_t size;
    MR_TRY(mr_tensor_file_add(&f->base, view->name, strlen(view->name), s->dtype, t->ndim, t->shape, 0));
    MR_TRY(mr_file_tensor_size(&f->base.tensors[f->base.count - 1], &count, &bytes));
    view->entry = find_entry(f, "data/", s->key->text, s->key->size);
    if (view->entry < 0)
        return mr_fail(MR_EFILE, "%s: the storage data/%.*s of tensor \"%s\" is missing", f->base.path,
                       (int)(s->key->size < 64 ? s->key->size : 64), s->key->text, view->name);
    MR_TRY(entry_size(f, view->entry, &size));
    if ((uint64_t)s->count > size / width)
        return mr_fail(MR_EFILE, "%s: the storage of tensor \"%s\" has %llu bytes, where %lld numbers of %zu belong",
                       f->base.path, view->name, (unsigned long long)size, (long long)s->count, width);
    /* a broadcast view may be larger than its storage, but not without limit */
    if (count > (size_t)s->count + MR_TORCH_BROADCAST)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" repeats its %lld stored numbers %zu times", f->base.path,
                       view->name, (long long)s->count, s->count ? count / (size_t)s->count : count);
    return 0;
}

/* Tensors that see the same numbers in the same way share. */
static void find_shared(struct torch_file *f)
{
    for (size_t i = 0; i < f->base.count; i++) {
        const struct mr_torch_view *view = &f->tree.views[i];
        int64_t *first = &f->tree.first_of_entry[view->entry];
        if (*first < 0) {
            *first = (int64_t)i;
            continue;
        }
        const struct mr_pickled_tensor *a = f->tree.views[*first].tensor, *b = view->tensor;
        bool same = a->ndim == b->ndim && a->offset == b->offset && a->storage->dtype == b->storage->dtype;
        for (int k = 0; same && k < a->ndim; k++)
            same = a->shape[k] == b->shape[k] && a->stride[k] == b->stride[k];
        if (same)
            f->base.tensors[i].shares = *first;
    }
}

/* Numbers without dimensions in the outermost dictionary also go into the metadata. */
static int add_numbers(struct torch_file *f)
{
    for (size_t i = 0; i < f->base.count; i++) {
        const struct mr_file_tensor *t = &f->base.tensors[i];
        if (t->ndim || f->tree.views[i].depth != 1)
            continue;
        uint8_t raw[8];
        float x;
        double wide;
        MR_TRY(mr_tensor_file_read(&f->base, i, 0, mr_dtype_block_bytes(t->dtype), raw));
        mr_to_f32(t->dtype, raw, &x, 1);
        wide = x;
        if (t->dtype == MR_DTYPE_F64)
            memcpy(&wide, raw, 8);
        MR_TRY(mr_json_set(f->base.metadata, t->name, mr_json_real(wide)));
    }
    return 0;
}

int mr_torch_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct torch_file *f = NULL;
    int64_t entry = 0;
    uint64_t size = 0;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(open_zip(f));
    MR_GO(find_pickle(f, &entry));
    MR_GO(check_byte_order(f));
    MR_GO(entry_size(f, entry, &size));
    if (size > MR_PICKLE_LARGEST) {
        err = mr_fail(MR_EFILE, "%s: its data.pkl has %llu bytes, more than any that is known", path,
                      (unsigned long long)size);
        goto fail;
    }
    MR_GO(mr_torch_tree_allocate(&f->tree, (size_t)size, (size_t)zip_get_num_entries(f->zip, 0)));
    MR_GO(read_entry(f, entry, 0, (size_t)size, f->tree.bytes));
    MR_GO(mr_torch_tree_read(&f->tree, (size_t)size, path, f->base.metadata));
    for (size_t i = 0; i < f->tree.count; i++)
        MR_GO(add_view(f, i));
    find_shared(f);
    MR_GO(add_numbers(f));
    *file = &f->base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}
