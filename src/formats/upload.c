/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/upload.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/threads.h"

#define MOST ((size_t)1 << 22) /* elements gathered at a time where rows need not lie together */

static const enum mr_dtype dtypes[MR_ELEMENTS] = {
    [MR_F32] = MR_DTYPE_F32,   [MR_I32] = MR_DTYPE_I32,   [MR_F16] = MR_DTYPE_F16,
    [MR_BF16] = MR_DTYPE_BF16, [MR_Q8_0] = MR_DTYPE_Q8_0, [MR_Q5_1] = MR_DTYPE_Q5_1,
    [MR_Q5_0] = MR_DTYPE_Q5_0, [MR_Q4_1] = MR_DTYPE_Q4_1, [MR_Q4_0] = MR_DTYPE_Q4_0,
};

enum mr_dtype mr_dtype_of(enum mr_element element)
{
    return dtypes[element];
}

enum mr_element mr_element_of(enum mr_dtype dtype)
{
    for (int i = 0; i < MR_ELEMENTS; i++)
        if (dtypes[i] == dtype && i != MR_I32)
            return (enum mr_element)i;
    return MR_F32;
}

struct upload {
    mr_runtime *rt;
    const mr_tensor *to;
    enum mr_dtype dtype;
    bool raw;
    size_t width;            /* of a row */
    size_t capacity, filled; /* elements gathered, and how many fit */
    size_t done;             /* elements on the device */
    char *gathered;          /* floats, or the file's bytes */
    uint8_t *converted;      /* the device's bytes of as many; NULL: gathered holds them */
    uint64_t *digest;
};

static size_t bytes_of(enum mr_dtype dtype, size_t count)
{
    return count / mr_dtype_block(dtype) * mr_dtype_block_bytes(dtype);
}

static int convert_row(void *context, size_t row)
{
    struct upload *u = context;
    size_t at = row * u->width;
    mr_from_f32(u->dtype, (const float *)(const void *)u->gathered + at, u->converted + bytes_of(u->dtype, at),
                u->width);
    return 0;
}

static int flush(struct upload *u)
{
    const void *bytes = u->converted ? (const void *)u->converted : u->gathered;
    size_t rows = u->filled / u->width;
    if (!u->filled)
        return 0;
    if (u->converted)
        MR_TRY(mr_parallel_for(rows, convert_row, u));
    if (u->digest)
        *u->digest = XXH3_64bits_withSeed(bytes, bytes_of(u->dtype, u->filled), *u->digest);
    if (mr_is_weights(u->to->dtype))
        MR_TRY(mr_write_rows(u->rt, u->to, u->width, u->done / u->width, rows, bytes));
    else
        MR_TRY(mr_write(u->rt, u->to, u->done, u->filled, bytes));
    u->done += u->filled;
    u->filled = 0;
    return 0;
}

static int gather(void *context, const void *bytes, size_t count)
{
    struct upload *u = context;
    enum mr_dtype dtype = u->raw ? u->dtype : MR_DTYPE_F32;
    const char *from = bytes;
    while (count) {
        size_t n = u->capacity - u->filled < count ? u->capacity - u->filled : count;
        memcpy(u->gathered + bytes_of(dtype, u->filled), from, bytes_of(dtype, n));
        u->filled += n;
        from += bytes_of(dtype, n);
        count -= n;
        if (u->filled == u->capacity)
            MR_TRY(flush(u));
    }
    return 0;
}

int mr_upload(mr_runtime *rt, mr_tensor_file *source, const struct mr_recipe *recipe, const struct mr_param *p,
              const mr_tensor *to, uint64_t *digest)
{
    bool weights = mr_is_weights(to->dtype);
    struct upload u = {.rt = rt, .to = to, .dtype = mr_dtype_of(to->dtype), .digest = digest};
    u.width = weights ? p->shape[1] : 1;
    u.capacity = weights ? u.width * MR_ROWS_TOGETHER : p->count < MOST ? p->count : MOST;
    u.raw = weights && recipe->undo == MR_SAME && recipe->apply == MR_SAME &&
            source->tensors[recipe->tensor].dtype == u.dtype;
    int err = MR_ENOMEM;
    u.gathered = mr_alloc(bytes_of(u.raw ? u.dtype : MR_DTYPE_F32, u.capacity), 1);
    if (weights && !u.raw)
        u.converted = mr_alloc(bytes_of(u.dtype, u.capacity), 1);
    if (u.gathered && (u.converted || !weights || u.raw)) {
        err = mr_recipe_run(source, recipe, u.raw, gather, &u);
        if (!err)
            err = flush(&u);
    }
    free(u.gathered);
    free(u.converted);
    return err;
}
