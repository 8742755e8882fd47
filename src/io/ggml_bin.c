/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/ggml_bin.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { HEADER = 24, TENSOR = 12, LONGEST_NAME = 1024, VERSION_FIRST = 100, VERSION = 101 };

/* The number that stands for each format in a file, at its index; the others are not used any more. */
static const int8_t dtypes[] = {MR_DTYPE_F32, MR_DTYPE_F16, MR_DTYPE_Q4_0, MR_DTYPE_Q4_1, -1,
                                -1,           -1,           MR_DTYPE_Q5_0, MR_DTYPE_Q5_1, MR_DTYPE_Q8_0};

enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* The number of a format, or -1. */
static int dtype_code(int dtype)
{
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i] == dtype && dtype >= 0)
            return i;
    return -1;
}

static int dtype_of(int32_t code)
{
    return code >= 0 && code < DTYPES ? dtypes[code] : -1;
}

/* ---- reading ---- */

struct ggml_bin {
    mr_tensor_file base; /* place: the first byte of the data */
    mr_reader *in;
};

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    return mr_reader_read(((struct ggml_bin *)file)->in, file->tensors[i].place + offset, to, size);
}

static void close_file(mr_tensor_file *file)
{
    mr_reader_close(((struct ggml_bin *)file)->in);
}

static const struct mr_tensor_file_format format = {"bin", read_bytes, close_file};

static int read_header(struct ggml_bin *f)
{
    static const char *const keys[] = {"version", "n_vocab", "n_embd", "n_layer"};
    int32_t header[HEADER / 4];
    MR_TRY(mr_reader_read(f->in, 0, header, HEADER));
    if (memcmp(header, MR_GGML_MAGIC, 4))
        return mr_fail(MR_EFILE, "%s does not begin with the magic number of .bin files", f->base.path);
    if (header[1] != VERSION_FIRST && header[1] != VERSION)
        return mr_fail(MR_EFILE, "%s has version %d of its format; %d and %d are known", f->base.path, header[1],
                       VERSION_FIRST, VERSION);
    for (int i = 0; i < 4; i++) {
        if (header[1 + i] <= 0)
            return mr_fail(MR_EFILE, "%s: %s is %d", f->base.path, keys[i], header[1 + i]);
        MR_TRY(mr_json_set(f->base.metadata, keys[i], json_integer(header[1 + i])));
    }
    int dtype = dtype_of(header[5]);
    if (dtype < 0)
        return mr_fail(MR_EFILE, "%s: data type %d is not supported", f->base.path, header[5]);
    return mr_json_set(f->base.metadata, "data_type", json_string(mr_dtype_name((enum mr_dtype)dtype)));
}

/* The tensor whose description begins at byte *at, which moves past its data. */
static int read_tensor(struct ggml_bin *f, uint64_t *at)
{
    const char *path = f->base.path;
    int32_t head[TENSOR / 4], dims[MR_MOST_DIMS];
    int64_t shape[MR_MOST_DIMS];
    char name[LONGEST_NAME];
    unsigned long long where = *at;
    MR_TRY(mr_reader_read(f->in, *at, head, sizeof head));
    int ndim = head[0], dtype = dtype_of(head[2]);
    if (ndim < 0 || ndim > MR_MOST_DIMS || head[1] <= 0 || head[1] > LONGEST_NAME || dtype < 0)
        return mr_fail(MR_EFILE, "%s: no tensor at byte %llu: %d dimensions, a name of %d bytes, data type %d", path,
                       where, ndim, head[1], head[2]);
    size_t length = (size_t)head[1], count, bytes;
    MR_TRY(mr_reader_read(f->in, *at + TENSOR, dims, 4 * (size_t)ndim));
    MR_TRY(mr_reader_read(f->in, *at + TENSOR + 4 * (size_t)ndim, name, length));
    for (int i = 0; i < ndim; i++)
        shape[i] = dims[ndim - 1 - i];
    *at += TENSOR + 4 * (uint64_t)ndim + length;
    int err = mr_tensor_file_add(&f->base, name, length, (enum mr_dtype)dtype, ndim, shape, *at);
    if (err)
        return mr_fail_in(err, "byte %llu", where);
    MR_TRY(mr_file_tensor_size(&f->base.tensors[f->base.count - 1], &count, &bytes));
    uint64_t left = mr_reader_size(f->in) - *at;
    if (bytes > left)
        return mr_fail(MR_EFILE, "%s is cut short: tensor \"%s\" at byte %llu needs %zu bytes, %llu are left", path,
                       f->base.tensors[f->base.count - 1].name, where, bytes, (unsigned long long)left);
    *at += bytes;
    return 0;
}

int mr_ggml_bin_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct ggml_bin *f = NULL;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(mr_reader_open(&f->in, path));
    MR_GO(read_header(f));
    for (uint64_t at = HEADER, size = mr_reader_size(f->in); at < size;)
        MR_GO(read_tensor(f, &at));
    *file = &f->base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}

/* ---- writing ---- */

static int begin_tensor(mr_tensor_writer *writer, size_t i)
{
    const struct mr_file_tensor *t = &writer->tensors[i];
    int32_t head[TENSOR / 4 + MR_MOST_DIMS] = {t->ndim, (int32_t)strlen(t->name), dtype_code((int)t->dtype)};
    for (int k = 0; k < t->ndim; k++)
        head[TENSOR / 4 + k] = (int32_t)t->shape[t->ndim - 1 - k];
    MR_TRY(mr_writer_write(writer->out, head, TENSOR + 4 * (size_t)t->ndim));
    return mr_writer_write(writer->out, t->name, strlen(t->name));
}

static int append(mr_tensor_writer *writer, const void *data, size_t size)
{
    return mr_writer_write(writer->out, data, size);
}

static const struct mr_tensor_writer_format writer_format = {
    .name = "bin", .begin_tensor = begin_tensor, .append = append};

static int check_tensor(const struct mr_file_tensor *t)
{
    if (dtype_code((int)t->dtype) < 0)
        return mr_fail(MR_EINVAL, ".bin files cannot hold %s, which tensor \"%s\" is", mr_dtype_name(t->dtype),
                       t->name);
    if (strlen(t->name) > LONGEST_NAME)
        return mr_fail(MR_EINVAL, "the name \"%.60s...\" is longer than %d bytes", t->name, LONGEST_NAME);
    for (int i = 0; i < t->ndim && i < MR_MOST_DIMS; i++)
        if (t->shape[i] > INT32_MAX)
            return mr_fail(MR_EINVAL, "tensor \"%s\" has a dimension of more than 32 bits", t->name);
    return 0;
}

static int make_header(const json_t *metadata, int32_t *header)
{
    static const char *const keys[] = {"n_vocab", "n_embd", "n_layer"};
    const char *dtype;
    int64_t value;
    memcpy(header, MR_GGML_MAGIC, 4);
    MR_TRY(mr_json_int_or(metadata, "version", VERSION_FIRST, VERSION, VERSION, &value));
    header[1] = (int32_t)value;
    for (int i = 0; i < 3; i++) {
        MR_TRY(mr_json_int(metadata, keys[i], 1, INT32_MAX, &value));
        header[2 + i] = (int32_t)value;
    }
    MR_TRY(mr_json_string(metadata, "data_type", &dtype));
    if ((header[5] = dtype_code(mr_dtype_from_name(dtype))) < 0)
        return mr_fail(MR_EINVAL, ".bin files cannot hold %s", dtype);
    return 0;
}

int mr_ggml_bin_begin(mr_tensor_writer **result, const char *path, const struct mr_file_tensor *tensors, size_t count,
                      const json_t *metadata)
{
    int32_t header[HEADER / 4];
    mr_tensor_writer *w;
    int err = make_header(metadata, header) ? MR_EINVAL : 0;
    for (size_t i = 0; i < count && !err; i++)
        err = check_tensor(&tensors[i]);
    if (err)
        return mr_fail_in(err, "%s cannot be written", path);
    MR_TRY(mr_tensor_writer_create(&w, sizeof *w, &writer_format, path, tensors, count));
    MR_GO(mr_writer_write(w->out, header, HEADER));
    MR_GO(mr_tensor_writer_start(w));
    *result = w;
    return 0;
fail:
    mr_tensor_writer_abort(w);
    return err;
}
