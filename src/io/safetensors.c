/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { LARGEST_HEADER = 100000000 }; /* as other readers have it */

struct safetensors {
    mr_tensor_file base;
    mr_reader *in;
    uint64_t data; /* where the tensors begin */
};

static const struct {
    const char *name;
    enum mr_dtype dtype;
} dtypes[] = {
    {"F32", MR_DTYPE_F32}, {"F16", MR_DTYPE_F16}, {"BF16", MR_DTYPE_BF16}, {"F64", MR_DTYPE_F64},
    {"I64", MR_DTYPE_I64}, {"I32", MR_DTYPE_I32}, {"I16", MR_DTYPE_I16},   {"I8", MR_DTYPE_I8},
    {"U16", MR_DTYPE_U16}, {"U8", MR_DTYPE_U8},   {"BOOL", MR_DTYPE_BOOL},
};

enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct safetensors *f = (struct safetensors *)file;
    return mr_reader_read(f->in, f->data + file->tensors[i].place + offset, to, size);
}

static void close_file(mr_tensor_file *file)
{
    mr_reader_close(((struct safetensors *)file)->in);
}

static const struct mr_tensor_file_format format = {"safetensors", read_bytes, close_file};

/* array[i] as a whole number from 0 on, or -1. */
static int64_t number_at(const json_t *array, size_t i)
{
    const json_t *n = json_array_get(array, i);
    return json_is_integer(n) && json_integer_value(n) >= 0 ? json_integer_value(n) : -1;
}

static int add_entry(struct safetensors *f, const char *name, const json_t *entry, uint64_t data_size)
{
    const char *path = f->base.path, *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    if (!dtype || !json_is_array(shape) || json_array_size(offsets) != 2)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" lacks its dtype, shape or data_offsets", path, name);
    int k = 0;
    while (k < DTYPES && strcmp(dtypes[k].name, dtype))
        k++;
    if (k == DTYPES)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" is of type %.32s, which is not supported", path, name, dtype);
    int64_t dims[MR_MOST_DIMS] = {0};
    size_t ndim = json_array_size(shape);
    for (size_t i = 0; i < ndim && i < MR_MOST_DIMS; i++)
        if ((dims[i] = number_at(shape, i)) < 0)
            return mr_fail(MR_EFILE, "%s: the shape of tensor \"%s\" is not made of whole numbers", path, name);
    int64_t begin = number_at(offsets, 0), end = number_at(offsets, 1);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" lies outside of the file (bytes %lld to %lld of %llu)", path, name,
                       (long long)begin, (long long)end, (unsigned long long)data_size);
    MR_TRY(mr_tensor_file_add(&f->base, name, strlen(name), dtypes[k].dtype,
                              ndim > MR_MOST_DIMS ? MR_MOST_DIMS + 1 : (int)ndim, dims, (uint64_t)begin));
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(&f->base.tensors[f->base.count - 1], &count, &bytes));
    if (bytes != (uint64_t)(end - begin))
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" needs %zu bytes and has %lld", path, name, bytes,
                       (long long)(end - begin));
    return 0;
}

struct extent {
    uint64_t begin, end;
    const char *name;
};

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    int order = (x->begin > y->begin) - (x->begin < y->begin);
    return order ? order : (x->end > y->end) - (x->end < y->end);
}

/* The tensors must follow each other without gap or overlap, to the file's end. */
static int check_layout(const struct safetensors *f, uint64_t data_size)
{
    size_t n = f->base.count;
    struct extent *list = mr_alloc(n, sizeof *list);
    if (!list)
        return MR_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t count, bytes = 0;
        mr_file_tensor_size(&f->base.tensors[i], &count, &bytes);
        list[i] = (struct extent){f->base.tensors[i].place, f->base.tensors[i].place + bytes, f->base.tensors[i].name};
    }
    qsort(list, n, sizeof *list, by_begin);
    uint64_t at = 0;
    int err = 0;
    for (size_t i = 0; i < n && !err; i++) {
        if (list[i].begin < at)
            err = mr_fail(MR_EFILE, "%s: tensors \"%s\" and \"%s\" overlap", f->base.path, list[i - 1].name,
                          list[i].name);
        else if (list[i].begin > at)
            err = mr_fail(MR_EFILE, "%s: %llu bytes before tensor \"%s\" belong to none", f->base.path,
                          (unsigned long long)(list[i].begin - at), list[i].name);
        at = list[i].end;
    }
    if (!err && at != data_size)
        err = mr_fail(MR_EFILE, "%s: %llu bytes at the end belong to no tensor", f->base.path,
                      (unsigned long long)(data_size - at));
    free(list);
    return err;
}

static int parse(struct safetensors *f, json_t *header, uint64_t data_size)
{
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__")) {
            MR_TRY(add_entry(f, name, entry, data_size));
            continue;
        }
        const char *key;
        json_t *value;
        if (!json_is_object(entry))
            return mr_fail(MR_EFILE, "%s: its __metadata__ is not an object", f->base.path);
        json_object_foreach(entry, key, value) {
            if (!json_is_string(value))
                return mr_fail(MR_EFILE, "%s: \"%s\" of its __metadata__ is not a text", f->base.path, key);
        }
        json_decref(f->base.metadata);
        f->base.metadata = json_incref(entry);
    }
    return check_layout(f, data_size);
}

int mr_safetensors_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct safetensors *f = NULL;
    char *text = NULL;
    json_t *header = NULL;
    uint64_t header_size;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(mr_reader_open(&f->in, path));
    uint64_t size = mr_reader_size(f->in);
    MR_GO(mr_reader_read(f->in, 0, &header_size, 8));
    if (header_size > LARGEST_HEADER || header_size > size - 8) {
        err =
            mr_fail(MR_EFILE, "%s: its header would have %llu bytes, which %s", path, (unsigned long long)header_size,
                    header_size > LARGEST_HEADER ? "is no safetensors file" : "is more than the file: it is cut short");
        goto fail;
    }
    f->data = 8 + header_size;
    if (!(text = mr_alloc((size_t)header_size, 1))) {
        err = MR_ENOMEM;
        goto fail;
    }
    MR_GO(mr_reader_read(f->in, 8, text, (size_t)header_size));
    MR_GO(mr_json_parse(&header, text, (size_t)header_size, path));
    if (!json_is_object(header)) {
        err = mr_fail(MR_EFILE, "%s: its header is not a JSON object", path);
        goto fail;
    }
    MR_GO(parse(f, header, size - f->data));
    *file = &f->base;
    f = NULL;
fail:
    json_decref(header);
    free(text);
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}

/* ---- writing ---- */

static int append(mr_tensor_writer *writer, const void *data, size_t size)
{
    return mr_writer_write(writer->out, data, size);
}

static const struct mr_tensor_writer_format writer_format = {.name = "safetensors", .append = append};

static int put_metadata(json_t *header, const json_t *metadata)
{
    json_t *texts = json_object(), *value;
    const char *key;
    MR_TRY(mr_json_set(header, "__metadata__", texts));
    MR_TRY(mr_json_set(texts, "format", json_string("pt")));
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if (json_is_string(value)) {
            MR_TRY(mr_json_set(texts, key, json_incref(value)));
            continue;
        }
        char *text = mr_json_text(value);
        if (!text)
            return MR_ENOMEM;
        int err = mr_json_set(texts, key, json_string(text));
        free(text);
        MR_TRY(err);
    }
    return 0;
}

/* The JSON object of one tensor; *at moves past its bytes. */
static int put_entry(json_t *header, const struct mr_file_tensor *t, uint64_t *at)
{
    int k = 0;
    while (k < DTYPES && dtypes[k].dtype != t->dtype)
        k++;
    if (k == DTYPES)
        return mr_fail(MR_EINVAL, "safetensors files cannot hold %s, which tensor \"%s\" is", mr_dtype_name(t->dtype),
                       t->name);
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    json_t *entry = json_object(), *shape = NULL, *offsets = NULL;
    MR_TRY(mr_json_set(header, t->name, entry));
    MR_TRY(mr_json_set(entry, "dtype", json_string(dtypes[k].name)));
    MR_TRY(mr_json_set(entry, "shape", shape = json_array()));
    MR_TRY(mr_json_set(entry, "data_offsets", offsets = json_array()));
    for (int i = 0; i < t->ndim; i++)
        MR_TRY(mr_json_append(shape, json_integer(t->shape[i])));
    MR_TRY(mr_json_append(offsets, json_integer((json_int_t)*at)));
    *at += bytes;
    return mr_json_append(offsets, json_integer((json_int_t)*at));
}

int mr_safetensors_begin(mr_tensor_writer **result, const char *path, const struct mr_file_tensor *tensors,
                         size_t count, const json_t *metadata)
{
    int err;
    mr_tensor_writer *w = NULL;
    char *text = NULL;
    uint64_t at = 0;
    json_t *header = json_object();
    MR_GO(put_metadata(header, metadata));
    for (size_t i = 0; i < count; i++)
        MR_GO(put_entry(header, &tensors[i], &at));
    if (!(text = mr_json_text(header))) {
        err = MR_ENOMEM;
        goto fail;
    }
    uint64_t length = strlen(text), padded = mr_round_up(length, 8);
    if (padded > LARGEST_HEADER) {
        err = mr_fail(MR_EINVAL, "%s: a header of %llu bytes is too large", path, (unsigned long long)padded);
        goto fail;
    }
    MR_GO(mr_tensor_writer_create(&w, sizeof *w, &writer_format, path, tensors, count));
    MR_GO(mr_writer_write(w->out, &padded, 8));
    MR_GO(mr_writer_write(w->out, text, length));
    MR_GO(mr_writer_write(w->out, "        ", padded - length));
    MR_GO(mr_tensor_writer_start(w));
    *result = w;
    w = NULL;
fail:
    mr_tensor_writer_abort(w);
    free(text);
    json_decref(header);
    return err;
}
