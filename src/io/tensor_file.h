/* SPDX-License-Identifier: GPL-3.0-or-later
 * A file of named tensors, whatever its format: what is in it, reading in pieces, writing in order.
 * Each format's header has the function that opens or begins one; io/tensor_source.h recognises formats. */
#ifndef MR_IO_TENSOR_FILE_H
#define MR_IO_TENSOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/json.h"
#include "io/numbers.h"

enum { MR_MOST_DIMS = 8 };

struct mr_file_tensor {
    char *name;
    enum mr_dtype dtype;
    int ndim;
    int64_t shape[MR_MOST_DIMS]; /* slowest first; a row (the last dimension) of a quantised tensor is whole
                                    blocks */
    int64_t shares;              /* the earlier tensor whose stored numbers are also this one's, or -1 */
    uint64_t place;              /* the reader's own */
};

/* Elements and bytes of a tensor. MR_EFILE: not a shape, blocks that do not fit a row, overflow. */
int mr_file_tensor_size(const struct mr_file_tensor *tensor, size_t *count, size_t *bytes);

/* ---- reading ---- */

typedef struct mr_tensor_file mr_tensor_file;

struct mr_tensor_file_format {
    const char *name;
    /* Bytes of tensor i; the range was checked. */
    int (*read)(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to);
    /* Frees what the reader added; not `file` itself. */
    void (*close)(mr_tensor_file *file);
};

/* An open file. The fields are for reading only. One thread at a time. */
struct mr_tensor_file {
    const struct mr_tensor_file_format *format;
    char *path;
    struct mr_file_tensor *tensors; /* in the file's order */
    size_t count;
    json_t *metadata; /* what the file says besides tensors; an object, perhaps empty */
    json_t *config;   /* of a config.json beside it, or NULL */
    uint32_t *table;  /* names by hash: index + 1, 0 free */
    size_t table_size, capacity;
};

void mr_tensor_file_close(mr_tensor_file *file); /* NULL is fine */

/* The index of a name, or -1. */
int64_t mr_tensor_file_find(const mr_tensor_file *file, const char *name);

/* Bytes as stored: `size` of them from byte `offset` of tensor i. Files are fastest read front to back. */
int mr_tensor_file_read(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to);
/* Elements offset..offset+count-1 (whole blocks) as float. */
int mr_tensor_file_read_f32(mr_tensor_file *file, size_t i, uint64_t offset, size_t count, float *to);
/* The same of an integer tensor; a value that int32_t cannot hold is an error. */
int mr_tensor_file_read_i32(mr_tensor_file *file, size_t i, uint64_t offset, size_t count, int32_t *to);

/* XXH3-128 over the bytes of all tensors in the order of their names, as 32 hexadecimal digits. */
int mr_tensor_file_digest(mr_tensor_file *file, char hex[33]);

/* For readers: `size` zeroed bytes that begin with a struct mr_tensor_file; then one call per tensor. The
 * name (valid UTF-8, no NUL, not empty), its uniqueness, shape and size are checked; the entry is the last of
 * file->tensors. Errors name the file. */
int mr_tensor_file_create(mr_tensor_file **file, size_t size, const struct mr_tensor_file_format *format,
                          const char *path);
int mr_tensor_file_add(mr_tensor_file *file, const char *name, size_t name_size, enum mr_dtype dtype, int ndim,
                       const int64_t *shape, uint64_t place);

/* ---- writing ---- */

typedef struct mr_tensor_writer mr_tensor_writer;

struct mr_tensor_writer_format {
    const char *name;
    bool can_share;
    /* Called for each tensor that stores numbers, in order; begin_tensor, end_tensor and close may be NULL.
     */
    int (*begin_tensor)(mr_tensor_writer *writer, size_t i);
    int (*append)(mr_tensor_writer *writer, const void *data, size_t size);
    int (*end_tensor)(mr_tensor_writer *writer, size_t i);
    /* What comes after the tensors. */
    int (*finish)(mr_tensor_writer *writer);
    /* Frees what the writer added; not `writer` itself. */
    void (*close)(mr_tensor_writer *writer);
};

struct mr_tensor_writer {
    const struct mr_tensor_writer_format *format;
    mr_writer *out;
    char *path;
    struct mr_file_tensor *tensors; /* a copy of the caller's list */
    size_t count, current;          /* the tensor that the next bytes belong to */
    uint64_t done;                  /* bytes of it so far */
    float *spare;                   /* buffer for numbers on their way to their format */
    bool saturate;                  /* numbers that are too large for their format become its largest, not errors */
    struct mr_fit fit;              /* of the tensor at hand */
    int reported, unreported;       /* tensors that lost numbers, with a warning of their own and without */
    int error;
};

/* The bytes of tensor 0, then of tensor 1 and so on, leaving out those that share, in pieces of any size that
 * do not cross a tensor's end. */
int mr_tensor_writer_append(mr_tensor_writer *writer, const void *data, size_t size);
/* The same from floats (whole blocks), converted to the tensor's own format. MR_EFILE: a finite number is too large for
 * it (see `saturate`). Tensors that lose numbers in other ways, or are saturated, are logged. */
int mr_tensor_writer_append_f32(mr_tensor_writer *writer, const float *data, size_t count);
/* Appends tensor i of a file; bit for bit where the formats agree. It must be the writer's current tensor, or
 * empty. */
int mr_tensor_writer_copy(mr_tensor_writer *writer, mr_tensor_file *file, size_t i);
/* Makes the file appear whole; or leaves what was there before. Both free the writer. */
int mr_tensor_writer_finish(mr_tensor_writer *writer);
void mr_tensor_writer_abort(mr_tensor_writer *writer); /* NULL is fine */

/* For formats: `size` zeroed bytes that begin with a struct mr_tensor_writer; checks and copies the list,
 * opens the file. After the format wrote its header it calls mr_tensor_writer_start. */
int mr_tensor_writer_create(mr_tensor_writer **writer, size_t size, const struct mr_tensor_writer_format *format,
                            const char *path, const struct mr_file_tensor *tensors, size_t count);
int mr_tensor_writer_start(mr_tensor_writer *writer);

#endif
