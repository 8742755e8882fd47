/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/threads.h"
#include "io/chunk.h"
#include "io/mrw.h"

/* A chunk on its way: its bytes in `raw`, then packed. */
struct pending {
    size_t start, size, width;
    uint8_t *packed;
    size_t packed_size;
    uint32_t crc;
};

struct mrw_writer {
    mr_tensor_writer base;
    int level;
    uint8_t *raw, *spare; /* capacity bytes each */
    size_t capacity, used;
    struct pending *pending; /* complete chunks in raw; the bytes after them belong to the next one */
    size_t pending_count;
    struct mr_str index;
    bool verify;
    uint64_t chunks_at; /* where the first one begins */
};

static size_t pending_end(const struct mrw_writer *w)
{
    if (!w->pending_count)
        return 0;
    const struct pending *last = &w->pending[w->pending_count - 1];
    return last->start + last->size;
}

static int pack_one(void *context, size_t i)
{
    struct mrw_writer *w = context;
    struct pending *p = &w->pending[i];
    if (!(p->packed = mr_realloc(NULL, mr_chunk_bound(p->size), 1)))
        return MR_ENOMEM;
    MR_TRY(
        mr_chunk_pack(w->raw + p->start, w->spare + p->start, p->size, p->width, w->level, p->packed, &p->packed_size));
    p->crc = (uint32_t)crc32_z(0, p->packed, p->packed_size);
    return 0;
}

/* Packs and writes the complete chunks. */
static int flush(struct mrw_writer *w)
{
    size_t end = pending_end(w);
    int err = mr_parallel_for(w->pending_count, pack_one, w);
    for (size_t i = 0; i < w->pending_count; i++) {
        struct pending *p = &w->pending[i];
        uint32_t entry[2] = {(uint32_t)p->packed_size, p->crc};
        if (!err)
            err = mr_writer_write(w->base.out, p->packed, p->packed_size);
        if (!err)
            err = mr_str_append(&w->index, entry, sizeof entry);
        free(p->packed);
        p->packed = NULL;
    }
    w->pending_count = 0;
    memmove(w->raw, w->raw + end, w->used - end);
    w->used -= end;
    return err;
}

static int append(mr_tensor_writer *writer, const void *data, size_t size)
{
    struct mrw_writer *w = (struct mrw_writer *)writer;
    const struct mr_file_tensor *t = &writer->tensors[writer->current];
    const uint8_t *in = data;
    size_t full = mr_mrw_chunk_bytes(t->dtype, MR_MRW_CHUNK), count, bytes;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    uint64_t done = writer->done;
    while (size) {
        size_t have = w->used - pending_end(w), left = bytes - (size_t)(done - have);
        size_t chunk = left < full ? left : full; /* what the chunk in work will have */
        if (!have && (w->used + chunk > w->capacity || w->pending_count == MR_MRW_MOST_CHUNKS))
            MR_TRY(flush(w));
        size_t n = chunk - have < size ? chunk - have : size;
        memcpy(w->raw + w->used, in, n);
        w->used += n;
        in += n;
        size -= n;
        done += n;
        if (have + n == chunk) {
            size_t start = pending_end(w);
            w->pending[w->pending_count++] =
                (struct pending){.start = start, .size = chunk, .width = mr_dtype_block_bytes(t->dtype)};
        }
    }
    return 0;
}

/* Every chunk must come back from the disk as it was packed. */
static int verify(struct mrw_writer *w, size_t chunks)
{
    uint64_t at = w->chunks_at;
    uint32_t entry[2];
    size_t capacity = 0;
    uint8_t *packed = NULL;
    int err = mr_writer_sync(w->base.out);
    for (size_t i = 0; i < chunks && !err; i++, at += entry[0]) {
        memcpy(entry, w->index.text + i * sizeof entry, sizeof entry);
        if (!(err = mr_grow(&packed, &capacity, entry[0], 1)))
            err = mr_writer_read_back(w->base.out, at, packed, entry[0]);
        if (!err && (uint32_t)crc32_z(0, packed, entry[0]) != entry[1])
            err = mr_fail(MR_EFILE, "%s: bytes %llu to %llu read back otherwise than they were written: check the disk",
                          w->base.path, (unsigned long long)at, (unsigned long long)(at + entry[0]));
    }
    free(packed);
    return err;
}

void mr_mrw_verify(mr_tensor_writer *writer)
{
    ((struct mrw_writer *)writer)->verify = true;
}

static int finish(mr_tensor_writer *writer)
{
    struct mrw_writer *w = (struct mrw_writer *)writer;
    MR_TRY(flush(w));
    size_t chunks = w->index.size / 8;
    uint64_t count = chunks;
    MR_TRY(mr_str_append(&w->index, &count, 8));
    uint32_t crc = (uint32_t)crc32_z(0, (uint8_t *)w->index.text, w->index.size);
    MR_TRY(mr_str_append(&w->index, &crc, 4));
    MR_TRY(mr_str_append(&w->index, "end\n", 4));
    MR_TRY(mr_writer_write(writer->out, w->index.text, w->index.size));
    return w->verify ? verify(w, chunks) : 0;
}

static void close_writer(mr_tensor_writer *writer)
{
    struct mrw_writer *w = (struct mrw_writer *)writer;
    free(w->raw);
    free(w->spare);
    free(w->pending);
    mr_str_free(&w->index);
}

static const struct mr_tensor_writer_format format = {
    .name = "mrw", .append = append, .finish = finish, .close = close_writer};

static int put_tensor(json_t *list, const struct mr_file_tensor *t)
{
    json_t *entry = json_object(), *shape = NULL;
    MR_TRY(mr_json_append(list, entry));
    MR_TRY(mr_json_set(entry, "name", json_string(t->name)));
    MR_TRY(mr_json_set(entry, "dtype", json_string(mr_dtype_name(t->dtype))));
    MR_TRY(mr_json_set(entry, "shape", shape = json_array()));
    for (int i = 0; i < t->ndim; i++)
        MR_TRY(mr_json_append(shape, json_integer(t->shape[i])));
    return 0;
}

/* Everything before the chunks. */
static int put_header(struct mr_str *start, const struct mr_file_tensor *tensors, size_t count, const json_t *metadata)
{
    int err;
    char *text = NULL;
    json_t *header = json_object(), *list = NULL;
    MR_GO(mr_json_set(header, "chunk_bytes", json_integer(MR_MRW_CHUNK)));
    MR_GO(mr_json_set(header, "metadata", metadata ? json_incref((json_t *)(uintptr_t)metadata) : json_object()));
    MR_GO(mr_json_set(header, "tensors", list = json_array()));
    for (size_t i = 0; i < count; i++)
        MR_GO(put_tensor(list, &tensors[i]));
    if (!(text = mr_json_text(header))) {
        err = MR_ENOMEM;
        goto fail;
    }
    uint32_t version = MR_MRW_VERSION, size = (uint32_t)strlen(text);
    if (strlen(text) > UINT32_MAX - 64) {
        err = mr_fail(MR_EINVAL, "a header of %zu bytes is too large", strlen(text));
        goto fail;
    }
    MR_GO(mr_str_append(start, MR_MRW_MAGIC, 8));
    MR_GO(mr_str_append(start, &version, 4));
    MR_GO(mr_str_append(start, &size, 4));
    MR_GO(mr_str_append(start, text, size));
    uint32_t crc = (uint32_t)crc32_z(0, (uint8_t *)start->text, start->size);
    MR_GO(mr_str_append(start, &crc, 4));
fail:
    free(text);
    json_decref(header);
    return err;
}

int mr_mrw_begin(mr_tensor_writer **result, const char *path, const struct mr_file_tensor *tensors, size_t count,
                 const json_t *metadata, int level)
{
    int err;
    struct mrw_writer *w = NULL;
    struct mr_str start = {0};
    if (metadata && !json_is_object(metadata))
        return mr_fail(MR_EINVAL, "%s cannot be written: its metadata is not a JSON object", path);
    MR_GO(put_header(&start, tensors, count, metadata));
    MR_GO(mr_tensor_writer_create((mr_tensor_writer **)&w, sizeof *w, &format, path, tensors, count));
    w->level = level < 0 ? 0 : level > 9 ? 9 : level;
    w->capacity = mr_mrw_budget();
    w->raw = mr_realloc(NULL, w->capacity, 1);
    w->spare = mr_realloc(NULL, w->capacity, 1);
    w->pending = mr_alloc(MR_MRW_MOST_CHUNKS, sizeof *w->pending);
    if (!w->raw || !w->spare || !w->pending) {
        err = MR_ENOMEM;
        goto fail;
    }
    MR_GO(mr_writer_write(w->base.out, start.text, start.size));
    w->chunks_at = start.size;
    MR_GO(mr_tensor_writer_start(&w->base));
    *result = &w->base;
    mr_str_free(&start);
    return 0;
fail:
    mr_str_free(&start);
    mr_tensor_writer_abort((mr_tensor_writer *)w);
    return err;
}
