/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tensors of random bytes, to be written to a container and found again bit for bit. */
#ifndef MR_UNIT_CONTENT_H
#define MR_UNIT_CONTENT_H

#include "unit_test.h"

#include "io/tensor_file.h"

struct content {
    struct mr_file_tensor *list;
    uint8_t **data;
    size_t *bytes, count;
};

static inline uint8_t noise(void)
{
    static uint32_t seed = 1;
    seed = seed * 1664525u + 1013904223u;
    return (uint8_t)(seed >> 24);
}

static inline void content_add(struct content *c, enum mr_dtype dtype, int ndim, int64_t a, int64_t b, int64_t d)
{
    size_t n = c->count, elements;
    c->list = realloc(c->list, (n + 1) * sizeof *c->list);
    c->data = realloc(c->data, (n + 1) * sizeof *c->data);
    c->bytes = realloc(c->bytes, (n + 1) * sizeof *c->bytes);
    c->list[n] = (struct mr_file_tensor){.dtype = dtype, .ndim = ndim, .shape = {a, b, d}, .shares = -1};
    c->list[n].name = malloc(64);
    snprintf(c->list[n].name, 64, "tensor.%zu", n);
    assert_ok(mr_file_tensor_size(&c->list[n], &elements, &c->bytes[n]));
    c->data[n] = malloc(c->bytes[n] + 1);
    for (size_t i = 0; i < c->bytes[n]; i++) /* the last byte of an element varies little, as in weights */
        c->data[n][i] = (i + 1) % mr_dtype_block_bytes(dtype) ? noise() : 0x3c + (noise() & 3);
    c->count++;
}

static inline void content_release(struct content *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->list[i].name);
        free(c->data[i]);
    }
    free(c->list);
    free(c->data);
    free(c->bytes);
}

/* Writes all in pieces of changing size and finishes. */
static inline void content_write(const struct content *c, mr_tensor_writer *w)
{
    size_t piece = 1;
    for (size_t i = 0; i < c->count; i++)
        for (size_t at = 0; c->list[i].shares < 0 && at < c->bytes[i];) {
            size_t n = c->bytes[i] - at < piece ? c->bytes[i] - at : piece;
            assert_ok(mr_tensor_writer_append(w, c->data[i] + at, n));
            at += n;
            piece = piece < 3000000 ? piece * 2 + 1 : 1;
        }
    assert_ok(mr_tensor_writer_finish(w));
}

/* The file holds these tensors in this order. Closes it. */
static inline void content_expect(const struct content *c, mr_tensor_file *file)
{
    assert_int_equal(file->count, c->count);
    for (size_t i = 0; i < c->count; i++) {
        const struct mr_file_tensor *t = &file->tensors[i], *want = &c->list[i];
        assert_string_equal(t->name, want->name);
        assert_true(t->dtype == want->dtype && t->ndim == want->ndim && t->shares == want->shares);
        for (int k = 0; k < t->ndim; k++)
            assert_int_equal(t->shape[k], want->shape[k]);
        uint8_t *back = malloc(c->bytes[i] + 1);
        assert_ok(mr_tensor_file_read(file, i, 0, c->bytes[i], back));
        assert_memory_equal(back, c->data[i], c->bytes[i]);
        free(back);
    }
    mr_tensor_file_close(file);
}

/* Opens a file, reads every tensor and closes it; the first error, if any. */
static inline int read_all(int (*open)(mr_tensor_file **, const char *), const char *path)
{
    mr_tensor_file *file = NULL;
    uint8_t piece[4096];
    int err = open(&file, path);
    for (size_t i = 0; !err && i < file->count; i++) {
        size_t count, bytes;
        err = mr_file_tensor_size(&file->tensors[i], &count, &bytes);
        for (size_t at = 0; !err && at < bytes; at += sizeof piece)
            err = mr_tensor_file_read(file, i, at, bytes - at < sizeof piece ? bytes - at : sizeof piece, piece);
    }
    mr_tensor_file_close(file);
    return err;
}

/* Writes a file as it is, without the care of mr_file_write: for the many broken files of a test. */
static inline const char *overwrite(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

#endif
