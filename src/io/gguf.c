/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/gguf_types.h"

enum {
    WINDOW = 1 << 16,
    LONGEST_KEY = 65535,
    LARGEST_ALIGNMENT = 1 << 20,
    MOST_NUMBERS = 256 /* of an array whose numbers nobody needs */
};

struct gguf {
    mr_tensor_file base; /* place: of the data, from f->data on; then from the file's start */
    mr_reader *in;
    uint64_t at, size; /* the next byte to be parsed, and the file's end */
    uint64_t window;   /* what is in `bytes` begins there */
    size_t filled;
    uint8_t *bytes;    /* [WINDOW], only while the header is read */
    int8_t *exponents; /* per tensor, or NULL: see mr_gguf_shift */
};

/* ---- numbers of tensors ------------------------------------------------------------------------------------------ */

/* Some blocks at a time: those that the range touches are read whole. */
static int read_shifted(struct gguf *f, const struct mr_file_tensor *t, int exponent, uint64_t offset, size_t size,
                        uint8_t *to)
{
    uint8_t piece[8192];
    size_t width = mr_dtype_block_bytes(t->dtype), most = sizeof piece / width * width;
    while (size) {
        size_t before = offset % width, n = most - before < size ? most - before : size;
        size_t whole = mr_round_up(before + n, width);
        MR_TRY(mr_reader_read(f->in, t->place + offset - before, piece, whole));
        mr_shift_numbers(t->dtype, piece, whole / width, exponent);
        memcpy(to, piece + before, n);
        to += n;
        offset += n;
        size -= n;
    }
    return 0;
}

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct gguf *f = (struct gguf *)file;
    if (f->exponents && f->exponents[i])
        return read_shifted(f, &file->tensors[i], f->exponents[i], offset, size, to);
    return mr_reader_read(f->in, file->tensors[i].place + offset, to, size);
}

static void close_file(mr_tensor_file *file)
{
    struct gguf *f = (struct gguf *)file;
    mr_reader_close(f->in);
    free(f->bytes);
    free(f->exponents);
}

static const struct mr_tensor_file_format format = {"gguf", read_bytes, close_file};

int mr_gguf_shift(mr_tensor_file *file, size_t i, int exponent)
{
    struct gguf *f = (struct gguf *)file;
    if (file->format != &format || i >= file->count || exponent < INT8_MIN || exponent > INT8_MAX)
        return mr_fail(MR_EINVAL, "%s: tensor %zu cannot be multiplied by 2^%d", file->path, i, exponent);
    if (!f->exponents && !(f->exponents = mr_alloc(file->count, sizeof *f->exponents)))
        return MR_ENOMEM;
    f->exponents[i] = (int8_t)exponent;
    return 0;
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

static int cut_short(const struct gguf *f, const char *what)
{
    return mr_fail(MR_EFILE, "%s is cut short or damaged: %s at byte %llu goes beyond its end", f->base.path, what,
                   (unsigned long long)f->at);
}

static int take(struct gguf *f, void *to, size_t size)
{
    if (size > f->size - f->at)
        return cut_short(f, "what is needed");
    if (size > WINDOW) {
        MR_TRY(mr_reader_read(f->in, f->at, to, size));
    } else {
        if (f->at < f->window || f->at + size > f->window + f->filled) {
            uint64_t left = f->size - f->at;
            f->window = f->at;
            f->filled = left < WINDOW ? (size_t)left : WINDOW;
            MR_TRY(mr_reader_read(f->in, f->at, f->bytes, f->filled));
        }
        memcpy(to, f->bytes + (f->at - f->window), size);
    }
    f->at += size;
    return 0;
}

/* Appends a text of the file; `buffer` is for the bytes. */
static int take_text(struct gguf *f, uint64_t most, struct mr_str *buffer)
{
    uint64_t size;
    MR_TRY(take(f, &size, 8));
    if (size > f->size - f->at)
        return cut_short(f, "a text");
    if (size > most)
        return mr_fail(MR_EFILE, "%s: a name at byte %llu has %llu bytes", f->base.path, (unsigned long long)f->at,
                       (unsigned long long)size);
    buffer->size = 0;
    while (size) {
        char some[4096];
        size_t n = size < sizeof some ? (size_t)size : sizeof some;
        MR_TRY(take(f, some, n));
        MR_TRY(mr_str_append(buffer, some, n));
        size -= n;
    }
    return 0;
}

static int take_number(struct gguf *f, int type, json_t **value)
{
    union {
        uint8_t bytes[8];
        uint64_t u;
        int64_t i;
        float f;
        double d;
    } raw = {.u = 0};
    size_t size = mr_gguf_value_size(type);
    MR_TRY(take(f, raw.bytes, size));
    switch (type) {
    case MR_GGUF_BOOL:
        *value = json_boolean(raw.bytes[0]);
        return 0;
    case MR_GGUF_F32:
        *value = mr_json_real((double)raw.f);
        return 0;
    case MR_GGUF_F64:
        *value = mr_json_real(raw.d);
        return 0;
    case MR_GGUF_I8:
    case MR_GGUF_I16:
    case MR_GGUF_I32: { /* the sign, from the top of what is there to the top of all */
        int up = 64 - 8 * (int)size;
        raw.u <<= up;
        *value = json_integer(raw.i >> up);
        return 0;
    }
    default:
        *value = raw.u > INT64_MAX && type == MR_GGUF_U64 ? json_real((double)raw.u) : json_integer(raw.i);
        return 0;
    }
}

static int take_value(struct gguf *f, const char *key, int type, struct mr_str *buffer, json_t **value)
{
    if (type == MR_GGUF_TEXT) {
        MR_TRY(take_text(f, UINT64_MAX, buffer));
        *value = mr_json_repaired(buffer->size ? buffer->text : "", buffer->size);
        return 0;
    }
    if (!mr_gguf_value_size(type))
        return mr_fail(MR_EFILE, "%s: the key %s has a value of type %d, which is unknown", f->base.path, key, type);
    return take_number(f, type, value);
}

static int take_array(struct gguf *f, const char *key, struct mr_str *buffer, json_t **value)
{
    struct {
        int32_t type;
        uint64_t count;
    } head;
    MR_TRY(take(f, &head.type, 4));
    MR_TRY(take(f, &head.count, 8));
    size_t size = head.type == MR_GGUF_TEXT ? 8 : mr_gguf_value_size(head.type);
    if (!size)
        return mr_fail(MR_EFILE, "%s: the key %s is an array of type %d, which is not read here", f->base.path, key,
                       head.type);
    if (head.count > (f->size - f->at) / size)
        return cut_short(f, "an array");
    if (head.type != MR_GGUF_TEXT && head.count > MOST_NUMBERS && strcmp(key, MR_GGUF_TOKEN_TYPES)) {
        f->at += head.count * size;
        *value = json_null();
        return 0;
    }
    if (!(*value = json_array()))
        return mr_fail(MR_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < head.count; i++) {
        json_t *item = NULL;
        MR_TRY(take_value(f, key, head.type, buffer, &item));
        MR_TRY(mr_json_append(*value, item));
    }
    return 0;
}

static bool is_key(const struct mr_str *key)
{
    for (size_t i = 0; i < key->size; i++)
        if (key->text[i] <= ' ' || key->text[i] > '~')
            return false;
    return key->size > 0;
}

static int read_key(struct gguf *f, struct mr_str *key, struct mr_str *buffer)
{
    int32_t type;
    json_t *value = NULL;
    MR_TRY(take_text(f, LONGEST_KEY, key));
    if (!is_key(key))
        return mr_fail(MR_EFILE, "%s: the key at byte %llu is not a name", f->base.path, (unsigned long long)f->at);
    if (json_object_get(f->base.metadata, key->text))
        return mr_fail(MR_EFILE, "%s: duplicate key %.60s", f->base.path, key->text);
    MR_TRY(take(f, &type, 4));
    int err = type == MR_GGUF_ARRAY ? take_array(f, key->text, buffer, &value)
                                    : take_value(f, key->text, type, buffer, &value);
    if (err) {
        json_decref(value);
        return err;
    }
    return mr_json_set(f->base.metadata, key->text, value);
}

static int read_tensor(struct gguf *f, struct mr_str *name)
{
    struct mr_file_tensor t;
    uint32_t ndim;
    int64_t dims[MR_GGUF_DIMS], shape[MR_GGUF_DIMS];
    int32_t type;
    uint64_t offset;
    MR_TRY(take_text(f, LONGEST_KEY, name));
    MR_TRY(take(f, &ndim, 4));
    if (ndim > MR_GGUF_DIMS)
        return mr_fail(MR_EFILE, "%s: tensor %zu has %u dimensions, where at most %d are possible", f->base.path,
                       f->base.count, ndim, MR_GGUF_DIMS);
    MR_TRY(take(f, dims, 8 * (size_t)ndim));
    MR_TRY(take(f, &type, 4));
    MR_TRY(take(f, &offset, 8));
    int dtype = mr_gguf_dtype(type);
    if (dtype < 0)
        return mr_fail(MR_EFILE,
                       "%s: tensor %.60s is of type %s, which is not read here: f32, f16, bf16, q4_0 to q8_0 and q2_K "
                       "to q8_K are",
                       f->base.path, name->size ? name->text : "", mr_gguf_type_name(type));
    for (uint32_t i = 0; i < ndim; i++)
        shape[i] = dims[ndim - 1 - i];
    t.dtype = (enum mr_dtype)dtype;
    return mr_tensor_file_add(&f->base, name->size ? name->text : "", name->size, t.dtype, (int)ndim, shape, offset);
}

/* Where the tensors are, when the header's end is known. */
static int place_tensors(struct gguf *f, uint64_t alignment)
{
    uint64_t data = mr_round_up(f->at, alignment);
    if (data > f->size)
        data = f->size;
    for (size_t i = 0; i < f->base.count; i++) {
        struct mr_file_tensor *t = &f->base.tensors[i];
        size_t count, bytes;
        MR_TRY(mr_file_tensor_size(t, &count, &bytes));
        if (t->place % alignment)
            return mr_fail(MR_EFILE, "%s: tensor \"%s\" is at %llu, which is no multiple of %llu", f->base.path,
                           t->name, (unsigned long long)t->place, (unsigned long long)alignment);
        if (t->place > f->size - data || bytes > f->size - data - t->place)
            return mr_fail(MR_EFILE, "%s is cut short: tensor \"%s\" needs %zu bytes and goes beyond its end",
                           f->base.path, t->name, bytes);
        t->place += data;
    }
    return 0;
}

static int read_counts(struct gguf *f, uint64_t *tensors, uint64_t *keys)
{
    char magic[4];
    uint32_t version;
    MR_TRY(take(f, magic, 4));
    MR_TRY(take(f, &version, 4));
    if (memcmp(magic, MR_GGUF_MAGIC, 4))
        return mr_fail(MR_EFILE, "%s does not begin with GGUF", f->base.path);
    if (version == 2u << 24 || version == 3u << 24)
        return mr_fail(MR_EFILE, "%s is a big-endian GGUF file: convert it with gguf_convert_endian.py of llama.cpp",
                       f->base.path);
    if (version != 2 && version != 3)
        return mr_fail(MR_EFILE, "%s has version %u of GGUF; 2 and 3 are known", f->base.path, version);
    MR_TRY(take(f, tensors, 8));
    MR_TRY(take(f, keys, 8));
    uint64_t left = f->size - f->at;
    if (*keys > left / 13 || *tensors > left / 24) /* the least bytes of each */
        return mr_fail(MR_EFILE, "%s is cut short or damaged: it would have %llu keys and %llu tensors", f->base.path,
                       (unsigned long long)*keys, (unsigned long long)*tensors);
    return 0;
}

static int read_header(struct gguf *f)
{
    uint64_t tensors, keys;
    int64_t alignment = 32;
    struct mr_str name = {0}, buffer = {0};
    int err;
    MR_GO(read_counts(f, &tensors, &keys));
    for (uint64_t i = 0; i < keys; i++)
        MR_GO(read_key(f, &name, &buffer));
    MR_GO(mr_json_int_or(f->base.metadata, "general.alignment", 8, LARGEST_ALIGNMENT, 32, &alignment));
    if (alignment & (alignment - 1)) {
        err = mr_fail(MR_EFILE, "general.alignment is %lld, which is no power of two", (long long)alignment);
        goto fail;
    }
    for (uint64_t i = 0; i < tensors; i++)
        MR_GO(read_tensor(f, &name));
    err = place_tensors(f, (uint64_t)alignment);
fail:
    mr_str_free(&name);
    mr_str_free(&buffer);
    return err;
}

int mr_gguf_open(mr_tensor_file **file, const char *path)
{
    int err;
    struct gguf *f = NULL;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&f, sizeof *f, &format, path));
    MR_GO(mr_reader_open(&f->in, path));
    f->size = mr_reader_size(f->in);
    if (!(f->bytes = mr_alloc(WINDOW, 1))) {
        err = MR_ENOMEM;
        goto fail;
    }
    MR_GO(read_header(f));
    free(f->bytes);
    f->bytes = NULL;
    *file = &f->base;
    return 0;
fail:
    mr_tensor_file_close((mr_tensor_file *)f);
    return err;
}
