/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/tensor_file.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"

enum { PIECE = 1 << 16 }; /* elements converted at a time */

int mr_file_tensor_size(const struct mr_file_tensor *t, size_t *count, size_t *bytes)
{
    if (t->ndim < 0 || t->ndim > MR_MOST_DIMS || (unsigned)t->dtype >= MR_DTYPES)
        return mr_fail(MR_EFILE, "tensor \"%s\" has %d dimensions, where at most %d are possible", t->name, t->ndim,
                       MR_MOST_DIMS);
    size_t block = mr_dtype_block(t->dtype), n = 1;
    bool empty = false;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] < 0)
            return mr_fail(MR_EFILE, "tensor \"%s\" has a negative dimension", t->name);
        empty = empty || !t->shape[i];
        /* an empty tensor's other dimensions must make sense too */
        if (!mr_mul(n, t->shape[i] ? (size_t)t->shape[i] : 1, &n) || n > (size_t)INT64_MAX / 8)
            return mr_fail(MR_EFILE, "tensor \"%s\" is too large: its shape overflows", t->name);
    }
    if (block > 1 && (!t->ndim || (size_t)t->shape[t->ndim - 1] % block))
        return mr_fail(MR_EFILE, "tensor \"%s\" cannot be %s: its rows are not whole blocks of %zu", t->name,
                       mr_dtype_name(t->dtype), block);
    n = empty ? 0 : n;
    *count = n;
    *bytes = n / block * mr_dtype_block_bytes(t->dtype);
    return 0;
}

int mr_tensor_file_create(mr_tensor_file **result, size_t size, const struct mr_tensor_file_format *format,
                          const char *path)
{
    mr_tensor_file *file = mr_alloc(size, 1);
    if (!file)
        return MR_ENOMEM;
    file->format = format;
    file->path = mr_strdup(path);
    file->metadata = json_object();
    if (!file->path || !file->metadata) {
        mr_tensor_file_close(file);
        return mr_fail(MR_ENOMEM, "%s: out of memory", path);
    }
    *result = file;
    return 0;
}

void mr_tensor_file_close(mr_tensor_file *file)
{
    if (!file)
        return;
    if (file->format->close)
        file->format->close(file);
    for (size_t i = 0; i < file->count; i++)
        free(file->tensors[i].name);
    free(file->tensors);
    free(file->table);
    free(file->path);
    json_decref(file->metadata);
    json_decref(file->config);
    free(file);
}

/* The slot of the table that holds the name, or the free one where it belongs. */
static uint32_t *slot(const mr_tensor_file *file, const char *name)
{
    size_t i = (size_t)XXH3_64bits(name, strlen(name));
    for (;; i++) {
        uint32_t *s = &file->table[i & (file->table_size - 1)];
        if (!*s || !strcmp(file->tensors[*s - 1].name, name))
            return s;
    }
}

static int grow(mr_tensor_file *file)
{
    size_t capacity = file->capacity ? file->capacity * 2 : 64;
    if (capacity > UINT32_MAX / 4)
        return mr_fail(MR_EFILE, "%s: more tensors than can be true", file->path);
    struct mr_file_tensor *tensors = mr_realloc(file->tensors, capacity, sizeof *tensors);
    if (!tensors)
        return MR_ENOMEM;
    file->tensors = tensors;
    uint32_t *table = mr_alloc(capacity * 2, sizeof *table);
    if (!table)
        return MR_ENOMEM;
    free(file->table);
    file->table = table;
    file->table_size = capacity * 2;
    file->capacity = capacity;
    for (size_t i = 0; i < file->count; i++)
        *slot(file, file->tensors[i].name) = (uint32_t)i + 1;
    return 0;
}

/* Whether bytes are UTF-8 text without NUL. */
static bool is_text(const uint8_t *s, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t c = s[i];
        size_t more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        if (!c || more == 4 || more >= size - i)
            return false;
        c &= more ? 0x3fu >> more : 0x7f;
        for (size_t k = 1; k <= more; k++) {
            if (s[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (s[i + k] & 0x3f);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
        i += more + 1;
    }
    return true;
}

int mr_tensor_file_add(mr_tensor_file *file, const char *name, size_t name_size, enum mr_dtype dtype, int ndim,
                       const int64_t *shape, uint64_t place)
{
    if (!name_size || !is_text((const uint8_t *)name, name_size))
        return mr_fail(MR_EFILE, "%s: the name of tensor %zu is not text", file->path, file->count);
    if (file->count == file->capacity)
        MR_TRY(grow(file));
    struct mr_file_tensor t = {.dtype = dtype, .ndim = ndim, .shares = -1, .place = place};
    if (!(t.name = mr_alloc(name_size + 1, 1)))
        return MR_ENOMEM;
    memcpy(t.name, name, name_size);
    for (int i = 0; i < ndim && i < MR_MOST_DIMS; i++)
        t.shape[i] = shape[i];
    size_t count, bytes;
    int err = mr_file_tensor_size(&t, &count, &bytes);
    if (err)
        err = mr_fail_in(err, "%s", file->path);
    uint32_t *s = slot(file, t.name);
    if (!err && *s)
        err = mr_fail(MR_EFILE, "%s: duplicate tensor name \"%s\"", file->path, t.name);
    if (err) {
        free(t.name);
        return err;
    }
    file->tensors[file->count++] = t;
    *s = (uint32_t)file->count;
    return 0;
}

int64_t mr_tensor_file_find(const mr_tensor_file *file, const char *name)
{
    return file->count ? (int64_t)*slot(file, name) - 1 : -1;
}

int mr_tensor_file_read(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    size_t count, bytes;
    if (i >= file->count)
        return mr_fail(MR_EINVAL, "%s has no tensor %zu", file->path, i);
    MR_TRY(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
    if (offset > bytes || size > bytes - offset)
        return mr_fail(MR_EINVAL, "%s: tensor \"%s\" has %zu bytes, not %llu to %llu", file->path,
                       file->tensors[i].name, bytes, (unsigned long long)offset, (unsigned long long)(offset + size));
    return size ? file->format->read(file, i, offset, size, to) : 0;
}

/* Bytes where elements begin and end, for a range of whole blocks. */
static int element_range(const mr_tensor_file *file, size_t i, uint64_t offset, size_t count, uint64_t *first,
                         size_t *bytes)
{
    if (i >= file->count)
        return mr_fail(MR_EINVAL, "%s has no tensor %zu", file->path, i);
    const struct mr_file_tensor *t = &file->tensors[i];
    size_t block = mr_dtype_block(t->dtype), all, all_bytes;
    MR_TRY(mr_file_tensor_size(t, &all, &all_bytes));
    if (offset > all || count > all - offset || offset % block || count % block)
        return mr_fail(MR_EINVAL, "%s: tensor \"%s\" has no elements %llu to %llu (of %zu, blocks of %zu)", file->path,
                       t->name, (unsigned long long)offset, (unsigned long long)(offset + count), all, block);
    *first = offset / block * mr_dtype_block_bytes(t->dtype);
    *bytes = count / block * mr_dtype_block_bytes(t->dtype);
    return 0;
}

int mr_tensor_file_read_f32(mr_tensor_file *file, size_t i, uint64_t offset, size_t count, float *to)
{
    uint64_t at;
    size_t bytes;
    MR_TRY(element_range(file, i, offset, count, &at, &bytes));
    enum mr_dtype dtype = file->tensors[i].dtype;
    if (dtype == MR_DTYPE_F32)
        return mr_tensor_file_read(file, i, at, bytes, to);
    size_t most = count < PIECE ? count : PIECE;
    uint8_t *raw = mr_alloc(most / mr_dtype_block(dtype) + 1, mr_dtype_block_bytes(dtype));
    int err = raw ? 0 : MR_ENOMEM;
    while (count && !err) {
        size_t n = count < most ? count : most, size = n / mr_dtype_block(dtype) * mr_dtype_block_bytes(dtype);
        err = mr_tensor_file_read(file, i, at, size, raw);
        if (!err)
            mr_to_f32(dtype, raw, to, n);
        at += size;
        to += n;
        count -= n;
    }
    free(raw);
    return err;
}

/* One integer of the stored kind, widened. */
static int64_t integer_at(enum mr_dtype dtype, const uint8_t *p)
{
    int64_t value = 0;
    memcpy(&value, p, mr_dtype_block_bytes(dtype));
    switch (dtype) {
    case MR_DTYPE_I32:
        return (int32_t)value;
    case MR_DTYPE_I16:
        return (int16_t)value;
    case MR_DTYPE_I8:
        return (int8_t)value;
    default:
        return value;
    }
}

int mr_tensor_file_read_i32(mr_tensor_file *file, size_t i, uint64_t offset, size_t count, int32_t *to)
{
    uint64_t at;
    size_t bytes;
    MR_TRY(element_range(file, i, offset, count, &at, &bytes));
    const struct mr_file_tensor *t = &file->tensors[i];
    size_t wide = mr_dtype_block_bytes(t->dtype);
    if (t->dtype < MR_DTYPE_I64 || t->dtype > MR_DTYPE_BOOL)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" holds %s where integers are needed", file->path, t->name,
                       mr_dtype_name(t->dtype));
    uint8_t raw[8 * 512];
    while (count) {
        size_t n = count < 512 ? count : 512;
        MR_TRY(mr_tensor_file_read(file, i, at, n * wide, raw));
        for (size_t k = 0; k < n; k++) {
            int64_t value = integer_at(t->dtype, raw + k * wide);
            if (value < INT32_MIN || value > INT32_MAX)
                return mr_fail(MR_EFILE, "%s: tensor \"%s\" holds %lld, more than 32 bits", file->path, t->name,
                               (long long)value);
            to[k] = (int32_t)value;
        }
        at += n * wide;
        to += n;
        count -= n;
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct mr_file_tensor *const *)a)->name, (*(const struct mr_file_tensor *const *)b)->name);
}

int mr_tensor_file_digest(mr_tensor_file *file, char hex[33])
{
    enum { BYTES = 1 << 20 };
    int err = 0;
    const struct mr_file_tensor **order = mr_alloc(file->count, sizeof *order);
    uint8_t *piece = mr_alloc(BYTES, 1);
    XXH3_state_t *hash = XXH3_createState();
    if (!order || !piece || !hash) {
        err = mr_fail(MR_ENOMEM, "%s: out of memory", file->path);
        goto fail;
    }
    for (size_t i = 0; i < file->count; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->count, sizeof *order, compare_names);
    XXH3_128bits_reset(hash);
    for (size_t i = 0; i < file->count; i++) {
        size_t count, bytes;
        MR_GO(mr_file_tensor_size(order[i], &count, &bytes));
        for (size_t at = 0; at < bytes; at += BYTES) {
            size_t n = bytes - at < BYTES ? bytes - at : BYTES;
            MR_GO(mr_tensor_file_read(file, (size_t)(order[i] - file->tensors), at, n, piece));
            XXH3_128bits_update(hash, piece, n);
        }
    }
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(hash));
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest.digest[i]);
fail:
    XXH3_freeState(hash);
    free(piece);
    free(order);
    return err;
}
