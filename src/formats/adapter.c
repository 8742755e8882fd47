/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/threads.h"
#include "formats/adapter_names.h"
#include "io/tensor_source.h"

enum { MOST_ADAPTERS = 16 };

/* One change of one tensor. */
struct edit {
    size_t tensor; /* of the base */
    int kind;      /* enum mr_adapter_part: MR_ADAPTER_A for a pair */
    mr_tensor_file *file;
    size_t a, b;         /* its tensors; b only of a pair */
    bool transposed;     /* the base holds (in,out) */
    int64_t first, rows; /* of the base: those of one of several joined matrices */
    float scale;
};

struct merged {
    mr_tensor_file file;
    struct mr_tensor_file_format format;
    mr_tensor_file *base, *adapters[MOST_ADAPTERS];
    int adapter_count;
    struct edit *edits;
    size_t count, capacity;
    uint8_t *bytes; /* of the tensor that was read last */
    size_t bytes_of;
};

static void close_file(mr_tensor_file *file)
{
    struct merged *m = (struct merged *)file;
    for (int i = 0; i < m->adapter_count; i++)
        mr_tensor_file_close(m->adapters[i]);
    mr_tensor_file_close(m->base);
    free(m->edits);
    free(m->bytes);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* All numbers of an adapter's tensor, its rows as columns where wanted; the caller frees them. */
static int read_all(mr_tensor_file *file, size_t i, bool transposed, float **out)
{
    const struct mr_file_tensor *t = &file->tensors[i];
    size_t count = (size_t)mr_tensor_elements(t), columns = t->ndim ? (size_t)t->shape[t->ndim - 1] : 1;
    float *x = mr_alloc(count, sizeof *x), *y = transposed ? mr_alloc(count, sizeof *y) : NULL;
    int err = x && (y || !transposed) ? mr_tensor_file_read_f32(file, i, 0, count, x) : MR_ENOMEM;
    for (size_t k = 0; !err && transposed && k < count; k++)
        y[k % columns * (count / columns) + k / columns] = x[k];
    *out = err ? NULL : transposed ? y : x;
    free(err || transposed ? x : NULL);
    free(err ? y : NULL);
    return err;
}

struct product {
    float *w; /* [rows, columns] += scale * left [rows, rank] * right [rank, columns] */
    const float *left, *right;
    size_t rank, columns;
    float scale;
};

static int add_row(void *context, size_t row)
{
    const struct product *p = context;
    float *w = p->w + row * p->columns;
    for (size_t r = 0; r < p->rank; r++) {
        const float x = p->scale * p->left[row * p->rank + r], *right = p->right + r * p->columns;
        for (size_t c = 0; c < p->columns; c++)
            w[c] += x * right[c];
    }
    return 0;
}

static int add_pair(const struct edit *e, float *w, size_t columns)
{
    float *left = NULL, *right = NULL;
    int err;
    struct product p = {w + (size_t)e->first * columns, .columns = columns, .scale = e->scale};
    p.rank = (size_t)e->file->tensors[e->a].shape[0];
    MR_GO(read_all(e->file, e->transposed ? e->a : e->b, e->transposed, &left));
    MR_GO(read_all(e->file, e->transposed ? e->b : e->a, e->transposed, &right));
    p.left = left;
    p.right = right;
    err = mr_parallel_for((size_t)e->rows, add_row, &p);
fail:
    free(left);
    free(right);
    return err;
}

/* (r,out): W[o, i] += x[i mod r, o]. */
static int add_blocks(const struct edit *e, float *w, size_t columns)
{
    float *x;
    size_t r = (size_t)e->file->tensors[e->a].shape[0], out = (size_t)e->file->tensors[e->a].shape[1];
    MR_TRY(read_all(e->file, e->a, false, &x));
    for (size_t row = 0; row < (size_t)e->rows; row++)
        for (size_t c = 0; c < columns; c++)
            w[((size_t)e->first + row) * columns + c] +=
                e->scale * (e->transposed ? x[row % r * out + c] : x[c % r * out + row]);
    free(x);
    return 0;
}

static int apply(const struct edit *e, float *w, size_t count, size_t columns)
{
    if (e->kind == MR_ADAPTER_WHOLE)
        return mr_tensor_file_read_f32(e->file, e->a, 0, count, w);
    return e->kind == MR_ADAPTER_BLOCK ? add_blocks(e, w, columns) : add_pair(e, w, columns);
}

/* The tensor as the file would have it. */
static int merge(struct merged *m, size_t i)
{
    const struct mr_file_tensor *t = &m->file.tensors[i];
    size_t count, bytes, columns = t->ndim ? (size_t)t->shape[t->ndim - 1] : 1;
    if (m->bytes && m->bytes_of == i)
        return 0;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    free(m->bytes);
    m->bytes = NULL;
    float *w = mr_alloc(count, sizeof *w);
    int err = w && (m->bytes = mr_alloc(bytes, 1)) ? mr_tensor_file_read_f32(m->base, i, 0, count, w) : MR_ENOMEM;
    for (size_t k = 0; k < m->count && !err; k++)
        if (m->edits[k].tensor == i)
            err = apply(&m->edits[k], w, count, columns);
    if (!err)
        mr_from_f32(t->dtype, w, m->bytes, count);
    free(w);
    m->bytes_of = i;
    if (err) {
        free(m->bytes);
        m->bytes = NULL;
    }
    return err;
}

static int read_bytes(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct merged *m = (struct merged *)file;
    size_t k = 0;
    while (k < m->count && m->edits[k].tensor != i)
        k++;
    if (k == m->count)
        return mr_tensor_file_read(m->base, i, offset, size, to);
    MR_TRY(merge(m, i));
    memcpy(to, m->bytes + offset, size);
    return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int wrong_shape(const struct edit *e, const mr_tensor_file *base, const char *name)
{
    return mr_fail(MR_EFILE, "%s: the shape of %s does not fit the model's %s: is it an adapter for another model?",
                   e->file->path, name, base->tensors[e->tensor].name);
}

/* Whether the adapter's numbers fit the base's; sets e->rows. */
static int check_shapes(struct edit *e, const mr_tensor_file *base, const struct mr_place *place, const char *name)
{
    const struct mr_file_tensor *w = &base->tensors[e->tensor], *a = &e->file->tensors[e->a],
                                *b = &e->file->tensors[e->b];
    if (e->kind == MR_ADAPTER_WHOLE) {
        bool same = mr_tensor_elements(w) == mr_tensor_elements(a) && place->change == MR_SAME;
        return same ? 0 : wrong_shape(e, base, name);
    }
    int64_t parts = place->change == MR_JOINED ? place->parts : 1;
    if (w->ndim != 2 || a->ndim != 2 || b->ndim != 2 || a->shape[0] < 1 || w->shape[0] % parts ||
        (place->change != MR_SAME && place->change != MR_TRANSPOSED && place->change != MR_JOINED))
        return wrong_shape(e, base, name);
    e->rows = w->shape[0] / parts;
    e->first = parts > 1 ? e->rows * place->part : 0;
    int64_t out = e->transposed ? w->shape[1] : e->rows, in = e->transposed ? e->rows : w->shape[1];
    bool fits = e->kind == MR_ADAPTER_BLOCK ? a->shape[1] == out && in % a->shape[0] == 0
                                            : a->shape[1] == in && b->shape[0] == out && b->shape[1] == a->shape[0];
    return fits ? 0 : wrong_shape(e, base, name);
}

/* The tensor of the base that a module's weight is in, by its own name or the file's. */
static int find_base(struct merged *m, const struct mr_naming *naming, const char *name, bool transposed,
                     struct edit *e, struct mr_place *place)
{
    char full[400];
    *place = (struct mr_place){.change = transposed ? MR_TRANSPOSED : MR_SAME};
    int64_t at = mr_naming_find(m->base, naming, name, place);
    snprintf(full, sizeof full, "%s%s", naming->prefix, name);
    if (at < 0)
        at = mr_tensor_file_find(m->base, full);
    if (at < 0)
        return mr_fail(MR_EFILE, "%s: it changes %s, which the model does not have", e->file->path, name);
    e->tensor = (size_t)at;
    e->transposed = place->change == MR_TRANSPOSED;
    return 0;
}

static int add_edit(struct merged *m, const struct mr_naming *naming, const struct mr_adapter *how, size_t i)
{
    mr_tensor_file *file = m->adapters[m->adapter_count - 1];
    struct mr_adapter_name name;
    struct mr_place place;
    int64_t b = (int64_t)i;
    if (strncmp(file->tensors[i].name, "adamw.", 6) == 0)
        return 0; /* a checkpoint's */
    MR_TRY(mr_adapter_name_of(file, i, &name));
    if (name.part == MR_ADAPTER_B)
        return 0; /* its A brings it */
    if (name.part == MR_ADAPTER_A && (b = mr_tensor_file_find(file, name.other)) < 0)
        return mr_fail(MR_EFILE, "%s: %s is missing", file->path, name.other);
    struct edit e = {.kind = name.part, .file = file, .a = i, .b = (size_t)b};
    e.scale = name.first ? -1 : (float)how->scale;
    if (name.part == MR_ADAPTER_A && !name.first && how->alpha > 0) {
        double r = (double)file->tensors[i].shape[0];
        e.scale = (float)(how->scale * how->alpha / (how->root ? sqrt(r) : r));
    }
    MR_TRY(find_base(m, naming, name.target, how->transposed, &e, &place));
    MR_TRY(check_shapes(&e, m->base, &place, file->tensors[i].name));
    MR_TRY(mr_grow(&m->edits, &m->capacity, m->count + 1, sizeof e));
    m->edits[m->count++] = e;
    return 0;
}

static int add_adapter(struct merged *m, const struct mr_naming *naming, const char *spec)
{
    struct mr_adapter how;
    if (m->adapter_count == MOST_ADAPTERS)
        return mr_fail(MR_EINVAL, "more than %d adapters", MOST_ADAPTERS);
    MR_TRY(mr_adapter_open(&m->adapters[m->adapter_count], spec, &how));
    mr_tensor_file *file = m->adapters[m->adapter_count++];
    size_t before = m->count;
    for (size_t i = 0; i < file->count; i++)
        MR_TRY(add_edit(m, naming, &how, i));
    if (m->count == before)
        return mr_fail(MR_EFILE, "%s holds no adapter", file->path);
    for (size_t k = before; k < m->count; k++)
        if (m->edits[k].kind == MR_ADAPTER_A && m->edits[k].scale >= 0 && how.alpha <= 0 && !how.has_scale) {
            mr_log(MR_LOG_WARNING,
                   "%s: its alpha is not known and taken to be its rank; give FILE:SCALE with alpha / rank",
                   file->path);
            break;
        }
    return 0;
}

/* The same tensors under the same names. */
static int take_over(struct merged *m, mr_tensor_file *base)
{
    for (size_t i = 0; i < base->count; i++) {
        const struct mr_file_tensor *t = &base->tensors[i];
        MR_TRY(mr_tensor_file_add(&m->file, t->name, strlen(t->name), t->dtype, t->ndim, t->shape, 0));
        m->file.tensors[i].shares = t->shares;
    }
    json_decref(m->file.metadata);
    m->file.metadata = json_incref(base->metadata);
    m->file.config = json_incref(base->config);
    return 0;
}

int mr_adapters_merge(mr_tensor_file **source, const struct mr_naming *naming, const char *const *specs)
{
    static const struct mr_tensor_file_format closing = {"merged", read_bytes, close_file};
    struct merged *m;
    int err = 0;
    if (!specs || !specs[0])
        return 0;
    MR_TRY(mr_tensor_file_create((mr_tensor_file **)&m, sizeof *m, &closing, (*source)->path));
    m->format = (struct mr_tensor_file_format){(*source)->format->name, read_bytes, close_file};
    m->file.format = &m->format;
    MR_GO(take_over(m, *source));
    m->base = *source;
    for (int i = 0; specs[i]; i++)
        MR_GO(add_adapter(m, naming, specs[i]));
    *source = &m->file;
    return 0;
fail:
    m->base = NULL;
    m->file.format = &closing; /* the copy goes with the file */
    mr_tensor_file_close(&m->file);
    return err;
}
