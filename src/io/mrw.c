/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/mrw.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/threads.h"
#include "io/chunk.h"

enum { SMALLEST_CHUNK = 4096, LARGEST_CHUNK = 64 << 20, BUSY_CORES = 16 };

struct chunk {
    uint64_t at; /* in the file */
    uint32_t packed, crc;
};

struct mrw {
    mr_tensor_file base; /* place: the tensor's first chunk */
    mr_reader *in;
    size_t chunk_bytes, chunk_count;
    struct chunk *chunks;
    size_t *owner; /* the tensor that each chunk belongs to */

    /* A window of unpacked chunks, from `first` up to `end`: chunk c begins at raw + start[c - first]. */
    size_t first, end;
    size_t start[MR_MRW_MOST_CHUNKS + 1];
    uint8_t *raw, *spare, *packed;
    size_t raw_room, packed_room;
};

size_t mr_mrw_budget(void)
{
    int cores = mr_cores();
    return (size_t)(cores < BUSY_CORES ? cores : BUSY_CORES) * MR_MRW_CHUNK;
}

size_t mr_mrw_chunk_bytes(enum mr_dtype dtype, size_t chunk)
{
    size_t width = mr_dtype_block_bytes(dtype);
    return chunk / width * width;
}

/* The unpacked bytes of chunk c. */
static size_t raw_size(const struct mrw *f, size_t c)
{
    const struct mr_file_tensor *t = &f->base.tensors[f->owner[c]];
    size_t count, bytes = 0, full = mr_mrw_chunk_bytes(t->dtype, f->chunk_bytes);
    mr_file_tensor_size(t, &count, &bytes); /* checked when it was added */
    size_t before = (c - t->place) * full;
    return bytes - before < full ? bytes - before : full;
}

static int unpack_one(void *context, size_t i)
{
    struct mrw *f = context;
    size_t c = f->first + i;
    const struct chunk *k = &f->chunks[c];
    const struct mr_file_tensor *t = &f->base.tensors[f->owner[c]];
    const uint8_t *packed = f->packed + (k->at - f->chunks[f->first].at);
    size_t size = f->start[i + 1] - f->start[i];
    int err = 0;
    if (crc32_z(0, packed, k->packed) != k->crc)
        err = mr_fail(MR_EFILE, "the checksum is wrong");
    else
        err = mr_chunk_unpack(packed, k->packed, f->spare + f->start[i], f->raw + f->start[i], size,
                              mr_dtype_block_bytes(t->dtype));
    if (err == MR_ENOMEM)
        return mr_fail_in(err, "%s", f->base.path);
    return err ? mr_fail_in(err, "%s: chunk %zu (bytes %llu to %llu, tensor \"%s\") is damaged; use another copy",
                            f->base.path, c, (unsigned long long)k->at, (unsigned long long)k->at + k->packed, t->name)
               : 0;
}

static int ensure(uint8_t **buffer, size_t *size, size_t need)
{
    if (need <= *size)
        return 0;
    free(*buffer);
    *size = 0;
    if (!(*buffer = mr_realloc(NULL, need, 1)))
        return MR_ENOMEM;
    *size = need;
    return 0;
}

/* Unpacks chunk c and those after it: as many as all cores want when the file is read in order, otherwise no
 * more than `wanted` bytes need. */
static int fill(struct mrw *f, size_t c, size_t wanted)
{
    size_t budget = mr_mrw_budget(), n = 0, raw = 0;
    if (c != f->end && wanted < budget)
        budget = wanted;
    f->first = f->end = c;
    f->start[0] = 0;
    while (c + n < f->chunk_count && n < MR_MRW_MOST_CHUNKS && (n == 0 || raw < budget)) {
        raw += raw_size(f, c + n);
        f->start[++n] = raw;
    }
    const struct chunk *from = &f->chunks[c], *last = &f->chunks[c + n - 1];
    size_t packed = (size_t)(last->at + last->packed - from->at), old = f->raw_room;
    MR_TRY(ensure(&f->raw, &f->raw_room, raw));
    MR_TRY(ensure(&f->spare, &old, f->raw_room));
    MR_TRY(ensure(&f->packed, &f->packed_room, packed));
    MR_TRY(mr_reader_read(f->in, from->at, f->packed, packed));
    MR_TRY(mr_parallel_for(n, unpack_one, f));
    f->end = c + n;
    return 0;
}

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct mrw *f = (struct mrw *)file;
    const struct mr_file_tensor *t = &file->tensors[i];
    size_t full = mr_mrw_chunk_bytes(t->dtype, f->chunk_bytes);
    uint8_t *out = to;
    while (size) {
        size_t c = t->place + (size_t)(offset / full), inside = (size_t)(offset % full);
        if (c < f->first || c >= f->end)
            MR_TRY(fill(f, c, inside + size));
        const size_t *start = &f->start[c - f->first];
        size_t n = start[1] - start[0] - inside;
        n = n < size ? n : size;
        memcpy(out, f->raw + start[0] + inside, n);
        out += n;
        offset += n;
        size -= n;
    }
    return 0;
}

static void close_file(mr_tensor_file *file)
{
    struct mrw *f = (struct mrw *)file;
    mr_reader_close(f->in);
    free(f->chunks);
    free(f->owner);
    free(f->raw);
    free(f->spare);
    free(f->packed);
}

static const struct mr_tensor_file_format format = {"mrw", read_bytes, close_file};

/* Adds the file's path to an error that does not name it. */
static int named(const struct mrw *f, int err)
{
    return err < 0 ? mr_fail_in(err, "%s", f->base.path) : err;
}

/* The tensors of the header; chunk_count grows to what they need. */
static int add_tensors(struct mrw *f, const json_t *list)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry) {
        const char *name, *dtype_name;
        json_t *shape;
        int64_t dims[MR_MOST_DIMS] = {0};
        size_t count, bytes;
        MR_TRY(named(f, mr_json_string(entry, "name", &name)));
        MR_TRY(named(f, mr_json_string(entry, "dtype", &dtype_name)));
        MR_TRY(named(f, mr_json_array(entry, "shape", &shape)));
        int dtype = mr_dtype_from_name(dtype_name);
        if (dtype < 0)
            return mr_fail(MR_EFILE, "%s: tensor \"%s\" is of the unknown type %.32s", f->base.path, name, dtype_name);
        size_t ndim = json_array_size(shape);
        for (size_t k = 0; k < ndim && k < MR_MOST_DIMS; k++) {
            const json_t *n = json_array_get(shape, k);
            dims[k] = json_is_integer(n) ? json_integer_value(n) : -1;
        }
        MR_TRY(mr_tensor_file_add(&f->base, name, strlen(name), (enum mr_dtype)dtype,
                                  ndim > MR_MOST_DIMS ? MR_MOST_DIMS + 1 : (int)ndim, dims, f->chunk_count));
        MR_TRY(mr_file_tensor_size(&f->base.tensors[i], &count, &bytes));
        size_t full = mr_mrw_chunk_bytes((enum mr_dtype)dtype, f->chunk_bytes);
        f->chunk_count += bytes / full + (bytes % full != 0);
    }
    return 0;
}

static int read_header(struct mrw *f, uint64_t *data)
{
    uint8_t start[MR_MRW_START];
    uint32_t version, size, crc;
    const char *path = f->base.path;
    uint64_t file_size = mr_reader_size(f->in);
    if (file_size < sizeof start)
        return mr_fail(MR_EFILE, "%s has only %llu bytes: it is cut short", path, (unsigned long long)file_size);
    MR_TRY(mr_reader_read(f->in, 0, start, sizeof start));
    if (memcmp(start, MR_MRW_MAGIC, 8))
        return mr_fail(MR_EFILE, "%s is not a .mrw file: it begins otherwise", path);
    memcpy(&version, start + 8, 4);
    memcpy(&size, start + 12, 4);
    if (version != MR_MRW_VERSION)
        return mr_fail(MR_EFILE, "%s is of format %u, and this program reads format %d: a newer program wrote it", path,
                       version, MR_MRW_VERSION);
    if (file_size < sizeof start + 4 + (uint64_t)size)
        return mr_fail(MR_EFILE, "%s ends within its header: it is cut short or damaged", path);
    uint8_t *text = mr_realloc(NULL, (size_t)size + 4, 1);
    json_t *header = NULL, *list, *metadata;
    int64_t chunk;
    int err = text ? 0 : MR_ENOMEM;
    if (!err)
        err = mr_reader_read(f->in, sizeof start, text, (size_t)size + 4);
    if (err)
        goto fail;
    memcpy(&crc, text + size, 4);
    if (crc32_z(crc32_z(0, start, sizeof start), text, size) != crc) {
        err = mr_fail(MR_EFILE, "%s: the header's checksum is wrong: the file is damaged; use another copy", path);
        goto fail;
    }
    MR_GO(mr_json_parse(&header, (char *)text, size, path));
    MR_GO(named(f, mr_json_int(header, "chunk_bytes", SMALLEST_CHUNK, LARGEST_CHUNK, &chunk)));
    MR_GO(named(f, mr_json_array(header, "tensors", &list)));
    MR_GO(named(f, mr_json_object(header, "metadata", &metadata)));
    json_decref(f->base.metadata);
    f->base.metadata = json_incref(metadata);
    f->chunk_bytes = (size_t)chunk;
    *data = sizeof start + (uint64_t)size + 4;
    MR_GO(add_tensors(f, list));
fail:
    json_decref(header);
    free(text);
    return err;
}

/* Who owns which chunk, and where it lies; the sizes must fill the file exactly. */
static int place_chunks(struct mrw *f, const uint8_t *index, uint64_t at, uint64_t end)
{
    size_t c = 0;
    for (size_t i = 0; i < f->base.count; i++) {
        size_t next = i + 1 < f->base.count ? f->base.tensors[i + 1].place : f->chunk_count;
        for (; c < next; c++) {
            struct chunk *k = &f->chunks[c];
            f->owner[c] = i;
            k->at = at;
            memcpy(&k->packed, index + 8 * c, 4);
            memcpy(&k->crc, index + 8 * c + 4, 4);
            at += k->packed;
            if (k->packed > end || at > end || k->packed > mr_chunk_bound(raw_size(f, c)))
                return mr_fail(MR_EFILE, "%s: its index does not fit the file", f->base.path);
        }
    }
    if (at != end)
        return mr_fail(MR_EFILE, "%s: %llu bytes belong to no chunk", f->base.path, (unsigned long long)(end - at));
    return 0;
}

static int read_index(struct mrw *f, uint64_t data)
{
    const char *path = f->base.path;
    uint64_t size = mr_reader_size(f->in), count;
    uint8_t end[MR_MRW_END], *index = NULL;
    uint32_t crc;
    int err;
    if (size < data + sizeof end)
        return mr_fail(MR_EFILE, "%s is cut short: its end is missing", path);
    MR_TRY(mr_reader_read(f->in, size - sizeof end, end, sizeof end));
    memcpy(&count, end, 8);
    memcpy(&crc, end + 8, 4);
    if (memcmp(end + 12, "end\n", 4))
        return mr_fail(MR_EFILE, "%s is cut short or damaged: its end mark is missing", path);
    uint64_t left = size - sizeof end - data;
    if (count != f->chunk_count || count > left / 8)
        return mr_fail(MR_EFILE, "%s is damaged: its index has %llu entries where %zu belong", path,
                       (unsigned long long)count, f->chunk_count);
    if (!(index = mr_realloc(NULL, f->chunk_count, 8)) || !(f->chunks = mr_alloc(f->chunk_count, sizeof *f->chunks)) ||
        !(f->owner = mr_alloc(f->chunk_count, sizeof *f->owner))) {
        err = MR_ENOMEM;
        goto fail;
    }
    MR_GO(mr_reader_read(f->in, size - sizeof end - 8 * count, index, 8 * f->chunk_count));
    if (crc32_z(crc32_z(0, index, 8 * f->chunk_count), end, 8) != crc) {
        err = mr_fail(MR_EFILE, "%s is damaged: the checksum of its index is wrong; use another copy", path);
        goto fail;
    }
    MR_GO(place_chunks(f, index, data, size - sizeof end - 8 * count));
fail:
    free(index);
    return err;
}

int mr_mrw_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct mrw *f = NULL;
    uint64_t data = 0;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(mr_reader_open(&f->in, path));
    MR_GO(read_header(f, &data));
    MR_GO(read_index(f, data));
    *file = &f->base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}
