/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_types.h"

enum { VERSION = 3, ALIGNMENT = 32, NAME_ROOM = 64 /* that llama.cpp has for a tensor's name and its end */ };

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static int put_text(struct mr_str *out, const char *text, uint64_t size)
{
    MR_TRY(mr_str_append(out, &size, 8));
    return mr_str_append(out, text, (size_t)size);
}

static int put_type(struct mr_str *out, int32_t type)
{
    return mr_str_append(out, &type, 4);
}

static int put_whole(struct mr_str *out, int64_t value)
{
    bool fits = value >= 0 && value <= UINT32_MAX;
    MR_TRY(put_type(out, fits ? MR_GGUF_U32 : MR_GGUF_I64));
    return mr_str_append(out, &value, fits ? 4 : 8);
}

static int put_real(struct mr_str *out, const json_t *value)
{
    float x = (float)json_real_value(value);
    return mr_str_append(out, &x, 4);
}

/* The type that all items have; an empty array is one of texts. -1: none. */
static int item_type(const json_t *array)
{
    size_t i;
    json_t *item;
    int all = json_array_size(array) ? -1 : MR_GGUF_TEXT;
    json_array_foreach((json_t *)(uintptr_t)array, i, item) {
        bool small =
            json_is_integer(item) && json_integer_value(item) >= INT32_MIN && json_integer_value(item) <= INT32_MAX;
        int type = json_is_string(item) ? MR_GGUF_TEXT : small ? MR_GGUF_I32 : json_is_real(item) ? MR_GGUF_F32 : -1;
        if (type < 0 || (i && type != all))
            return -1;
        all = type;
    }
    return all;
}

static int put_array(struct mr_str *out, const char *key, const json_t *array)
{
    int type = item_type(array);
    uint64_t count = json_array_size(array);
    size_t i;
    json_t *item;
    if (type < 0)
        return mr_fail(MR_EINVAL, "GGUF files cannot hold the list %s: its items are of several kinds", key);
    MR_TRY(put_type(out, MR_GGUF_ARRAY));
    MR_TRY(put_type(out, type));
    MR_TRY(mr_str_append(out, &count, 8));
    json_array_foreach((json_t *)(uintptr_t)array, i, item) {
        int32_t whole = (int32_t)json_integer_value(item);
        if (type == MR_GGUF_TEXT)
            MR_TRY(put_text(out, json_string_value(item), json_string_length(item)));
        else
            MR_TRY(type == MR_GGUF_I32 ? mr_str_append(out, &whole, 4) : put_real(out, item));
    }
    return 0;
}

static int put_value(struct mr_str *out, const char *key, const json_t *value)
{
    if (json_is_array(value))
        return put_array(out, key, value);
    if (json_is_integer(value))
        return put_whole(out, json_integer_value(value));
    if (json_is_string(value)) {
        MR_TRY(put_type(out, MR_GGUF_TEXT));
        return put_text(out, json_string_value(value), json_string_length(value));
    }
    if (json_is_real(value)) {
        MR_TRY(put_type(out, MR_GGUF_F32));
        return put_real(out, value);
    }
    if (json_is_boolean(value)) {
        char is = json_is_true(value);
        MR_TRY(put_type(out, MR_GGUF_BOOL));
        return mr_str_append(out, &is, 1);
    }
    return mr_fail(MR_EINVAL, "GGUF files cannot hold the key %s: it is neither a number nor a text or a list", key);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* *offset moves past the tensor's data. */
static int put_tensor(struct mr_str *out, const struct mr_file_tensor *t, uint64_t *offset)
{
    size_t count, bytes;
    uint32_t ndim = (uint32_t)t->ndim;
    int type = mr_gguf_type(t->dtype);
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    if (type < 0)
        return mr_fail(MR_EINVAL, "GGUF files cannot hold %s, which tensor \"%s\" is", mr_dtype_name(t->dtype),
                       t->name);
    if (t->ndim > MR_GGUF_DIMS || strlen(t->name) >= NAME_ROOM)
        return mr_fail(MR_EINVAL, "GGUF files cannot hold tensor \"%s\": %s", t->name,
                       t->ndim > MR_GGUF_DIMS ? "it has more than 4 dimensions" : "its name is too long");
    MR_TRY(put_text(out, t->name, strlen(t->name)));
    MR_TRY(mr_str_append(out, &ndim, 4));
    for (int i = t->ndim; i-- > 0;)
        MR_TRY(mr_str_append(out, &t->shape[i], 8));
    MR_TRY(put_type(out, type));
    MR_TRY(mr_str_append(out, offset, 8));
    *offset += mr_round_up(bytes, ALIGNMENT);
    return 0;
}

static int put_header(struct mr_str *out, const struct mr_file_tensor *tensors, size_t count, const json_t *metadata)
{
    const uint32_t version = VERSION;
    const uint64_t sizes[2] = {count, json_object_size(metadata)};
    uint64_t offset = 0;
    const char *key;
    json_t *value;
    MR_TRY(mr_str_append(out, MR_GGUF_MAGIC, 4));
    MR_TRY(mr_str_append(out, &version, 4));
    MR_TRY(mr_str_append(out, sizes, 16));
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        MR_TRY(put_text(out, key, strlen(key)));
        MR_TRY(put_value(out, key, value));
    }
    for (size_t i = 0; i < count; i++)
        MR_TRY(put_tensor(out, &tensors[i], &offset));
    return 0;
}

static int append(mr_tensor_writer *writer, const void *data, size_t size)
{
    return mr_writer_write(writer->out, data, size);
}

static int pad(mr_tensor_writer *writer)
{
    static const char zeros[ALIGNMENT];
    return mr_writer_write(writer->out, zeros, (size_t)-mr_writer_position(writer->out) % ALIGNMENT);
}

static int end_tensor(mr_tensor_writer *writer, size_t i)
{
    (void)i;
    return pad(writer);
}

static const struct mr_tensor_writer_format writer_format = {
    .name = "gguf", .append = append, .end_tensor = end_tensor};

int mr_gguf_begin(mr_tensor_writer **result, const char *path, const struct mr_file_tensor *tensors, size_t count,
                  const json_t *metadata)
{
    int err;
    mr_tensor_writer *w = NULL;
    struct mr_str header = {0};
    if ((err = put_header(&header, tensors, count, metadata)) < 0) {
        mr_fail_in(err, "%s cannot be written", path);
        goto fail;
    }
    MR_GO(mr_tensor_writer_create(&w, sizeof *w, &writer_format, path, tensors, count));
    MR_GO(mr_writer_write(w->out, header.text, header.size));
    MR_GO(pad(w));
    MR_GO(mr_tensor_writer_start(w));
    *result = w;
    w = NULL;
fail:
    mr_tensor_writer_abort(w);
    mr_str_free(&header);
    return err;
}
