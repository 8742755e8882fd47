/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define PIECE ((size_t)1 << 18) /* elements that are handed on at a time */
#define WHOLE ((size_t)1 << 28) /* bytes of a matrix that may be in memory to transpose it */
#define TILE 16

/* ---- what a recipe is -------------------------------------------------------------------------------------------- */

static int wrong_shape(const struct mr_file_tensor *t, const struct mr_param *p)
{
    char have[160] = "", want[160] = "";
    for (int i = 0; i < t->ndim; i++)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%lld", i ? "," : "", (long long)t->shape[i]);
    for (int i = 0; i < p->ndim; i++)
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%zu", i ? "," : "", p->shape[i]);
    return mr_fail(MR_EFILE, "the tensor %s has the shape (%s), the model's configuration wants (%s)", t->name, have,
                   want);
}

/* The dimensions that are not 1: those may come and go, (1,1,C) is (C). */
static int squeeze(int64_t *out, const int64_t *shape, int ndim)
{
    int n = 0;
    for (int i = 0; i < ndim; i++)
        if (shape[i] != 1)
            out[n++] = shape[i];
    return n;
}

/* Whether the tensor holds the parameter's numbers in their order. Vectors may be cut into heads: (C), (H,N). */
static bool same_shape(const struct mr_file_tensor *t, const struct mr_param *p, bool transposed)
{
    int64_t want[4], have[MR_MOST_DIMS], shape[4];
    for (int i = 0; i < p->ndim; i++)
        shape[i] = (int64_t)p->shape[i];
    if (transposed && p->ndim >= 2) {
        shape[p->ndim - 1] = (int64_t)p->shape[p->ndim - 2];
        shape[p->ndim - 2] = (int64_t)p->shape[p->ndim - 1];
    }
    int wants = squeeze(want, shape, p->ndim), haves = squeeze(have, t->shape, t->ndim);
    if (wants == haves)
        return memcmp(want, have, (size_t)wants * sizeof *want) == 0;
    const char *leaf = strrchr(p->name, '.');
    bool vector = strstr(p->name, ".time_") || (leaf && !strcmp(leaf, ".r_k"));
    return !transposed && wants + haves <= 3 && vector;
}

int mr_recipe_of(struct mr_recipe *recipe, const mr_tensor_file *source, size_t tensor, const struct mr_place *place,
                 const struct mr_param *p)
{
    const struct mr_file_tensor *t = &source->tensors[tensor];
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    bool transposed = place->change == MR_TRANSPOSED && p->ndim >= 2;
    size_t parts = place->change == MR_JOINED ? (size_t)place->parts : 1;
    if (count % parts || count / parts != p->count || (parts == 1 && !same_shape(t, p, transposed)))
        return wrong_shape(t, p);
    *recipe = (struct mr_recipe){.tensor = tensor, .count = p->count};
    if (parts > 1)
        recipe->first = p->count * (size_t)place->part;
    else if (transposed) {
        recipe->rows = p->shape[p->ndim - 1];
        recipe->columns = p->shape[p->ndim - 2];
    } else {
        recipe->undo = place->change;
    }
    return 0;
}

/* ---- running it -------------------------------------------------------------------------------------------------- */

struct run {
    mr_tensor_file *source;
    const struct mr_recipe *recipe;
    mr_recipe_sink *sink;
    void *context;
    bool raw;
    size_t block, width; /* elements that are stored together, and their bytes (1 and 4 for floats) */
};

static size_t bytes_of(const struct run *r, size_t count)
{
    return count / r->block * r->width;
}

/* A double beyond float would become infinite without a word. */
static int check_doubles(const struct run *r, size_t first, size_t count, const float *x)
{
    size_t tensor = r->recipe->tensor;
    double wide;
    for (size_t i = 0; i < count; i++) {
        if (!isinf(x[i]))
            continue;
        MR_TRY(mr_tensor_file_read(r->source, tensor, (first + i) * sizeof wide, sizeof wide, &wide));
        if (!isinf(wide))
            return mr_fail(MR_EFILE, "the tensor %s holds %g, which f32 cannot", r->source->tensors[tensor].name, wide);
    }
    return 0;
}

static int read_piece(const struct run *r, size_t first, size_t count, void *to)
{
    const struct mr_recipe *recipe = r->recipe;
    if (r->raw)
        return mr_tensor_file_read(r->source, recipe->tensor, bytes_of(r, first), bytes_of(r, count), to);
    MR_TRY(mr_tensor_file_read_f32(r->source, recipe->tensor, first, count, to));
    return r->source->tensors[recipe->tensor].dtype == MR_DTYPE_F64 ? check_doubles(r, first, count, to) : 0;
}

/* Limits where the stored number is 0 or 1 and its logarithm would be infinite: they give the same 0 or 1 again. */
static double undone(int change, double y)
{
    switch (change) {
    case MR_EXP:
        return y > 0 ? log(y) : -104;
    case MR_NEGATIVE_EXP:
        return y < 0 ? log(-y) : -104;
    case MR_EXP_NEGATIVE_EXP:
        return y >= 1 ? -104 : y > 0 ? log(-log(y)) : 5;
    default:
        return y;
    }
}

static double applied(int change, double x)
{
    switch (change) {
    case MR_EXP:
        return exp(x);
    case MR_NEGATIVE_EXP:
        return -exp(x);
    case MR_EXP_NEGATIVE_EXP:
        return exp(-exp(x));
    default:
        return x;
    }
}

static int hand_on(const struct run *r, void *piece, size_t count)
{
    const struct mr_recipe *recipe = r->recipe;
    float *x = piece;
    if (recipe->undo != recipe->apply)
        for (size_t i = 0; i < count; i++)
            x[i] = (float)applied(recipe->apply, undone(recipe->undo, (double)x[i]));
    return r->sink(r->context, piece, count);
}

static int straight(const struct run *r)
{
    void *piece = mr_alloc(PIECE, sizeof(double));
    int err = piece ? 0 : MR_ENOMEM;
    for (size_t at = 0; !err && at < r->recipe->count; at += PIECE) {
        size_t n = r->recipe->count - at < PIECE ? r->recipe->count - at : PIECE;
        err = read_piece(r, r->recipe->first + at, n, piece);
        if (!err)
            err = hand_on(r, piece, n);
    }
    free(piece);
    return err;
}

/* out[c, r] = in[r, c] of elements of `width` bytes, tile by tile; a row of in is `pitch` elements. */
static void transpose(const char *in, size_t rows, size_t columns, size_t pitch, char *out, size_t out_pitch,
                      size_t width)
{
    for (size_t r0 = 0; r0 < rows; r0 += TILE)
        for (size_t c0 = 0; c0 < columns; c0 += TILE)
            for (size_t c = c0; c < c0 + TILE && c < columns; c++)
                for (size_t r = r0; r < r0 + TILE && r < rows; r++)
                    memcpy(out + (c * out_pitch + r) * width, in + (r * pitch + c) * width, width);
}

/* Columns first..first+n-1 of a matrix come out as rows: all its rows are read, some at a time. */
static int band(const struct run *r, size_t matrix, size_t first, size_t n, char *buffer, char *out)
{
    const struct mr_recipe *recipe = r->recipe;
    size_t step = PIECE / recipe->columns ? PIECE / recipe->columns : 1;
    for (size_t row = 0; row < recipe->rows; row += step) {
        size_t rows = recipe->rows - row < step ? recipe->rows - row : step;
        MR_TRY(read_piece(r, matrix + row * recipe->columns, rows * recipe->columns, buffer));
        transpose(buffer + first * r->width, rows, n, recipe->columns, out + row * r->width, recipe->rows, r->width);
    }
    return hand_on(r, out, n * recipe->rows);
}

static int transposed(const struct run *r)
{
    const struct mr_recipe *recipe = r->recipe;
    size_t most = WHOLE / r->width / recipe->rows, step = PIECE / recipe->columns ? PIECE / recipe->columns : 1;
    size_t columns = most < 1                 ? 1
                     : most < recipe->columns ? most
                                              : recipe->columns,
           size = recipe->rows * recipe->columns;
    char *buffer = mr_alloc(step * recipe->columns, r->width), *out = mr_alloc(columns * recipe->rows, r->width);
    int err = buffer && out ? 0 : MR_ENOMEM;
    for (size_t matrix = 0; !err && matrix < recipe->count; matrix += size)
        for (size_t first = 0; !err && first < recipe->columns; first += columns)
            err = band(r, recipe->first + matrix, first,
                       recipe->columns - first < columns ? recipe->columns - first : columns, buffer, out);
    free(buffer);
    free(out);
    return err;
}

int mr_recipe_run(mr_tensor_file *source, const struct mr_recipe *recipe, bool raw, mr_recipe_sink *sink, void *context)
{
    struct run r = {source, recipe, sink, context, raw, 1, sizeof(float)};
    enum mr_dtype dtype = source->tensors[recipe->tensor].dtype;
    if (raw) {
        r.block = mr_dtype_block(dtype);
        r.width = mr_dtype_block_bytes(dtype);
    }
    if (raw && (recipe->undo || recipe->apply || (recipe->rows && r.block > 1)))
        return mr_fail(MR_EINVAL, "the tensor %s cannot be taken bit for bit", source->tensors[recipe->tensor].name);
    return recipe->rows ? transposed(&r) : straight(&r);
}
