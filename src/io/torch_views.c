/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/torch_views.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static bool is_contiguous(const struct mr_pickled_tensor *t)
{
    int64_t want = 1;
    for (int i = t->ndim; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != want)
            return false;
        want *= t->shape[i];
    }
    return true;
}

/* From the first element that the tensor sees to the last (all in the storage, as the pickle machine checked): kept
 * until another is asked for. */
static int load_extent(struct mr_torch_views *f, size_t i, const struct mr_pickled_tensor *t, size_t width)
{
    if (f->extent && f->extent_of == i)
        return 0;
    size_t count = 1;
    for (int k = 0; k < t->ndim; k++)
        count += (size_t)((t->shape[k] - 1) * t->stride[k]);
    free(f->extent);
    if (!(f->extent = mr_realloc(NULL, count, width)))
        return MR_ENOMEM;
    f->extent_of = i;
    int err = f->read(f, f->tree.views[i].entry, (uint64_t)t->offset * width, count * width, f->extent);
    if (err) {
        free(f->extent);
        f->extent = NULL;
    }
    return err;
}

/* Collects elements first..first+n-1 of a tensor with strides: runs along the last dimension. */
static void gather(const struct mr_pickled_tensor *t, const uint8_t *extent, size_t width, uint64_t first, size_t n,
                   uint8_t *to)
{
    int last = t->ndim - 1;
    uint64_t row = last >= 0 ? (uint64_t)t->shape[last] : 1;
    while (n) {
        uint64_t column = first % row, rest = first / row;
        int64_t at = 0;
        for (int i = last; i-- > 0;) {
            at += (int64_t)(rest % (uint64_t)t->shape[i]) * t->stride[i];
            rest /= (uint64_t)t->shape[i];
        }
        int64_t stride = last >= 0 ? t->stride[last] : 0;
        size_t run = row - column < n ? (size_t)(row - column) : n;
        for (size_t k = 0; k < run; k++, to += width)
            memcpy(to, extent + (size_t)(at + (int64_t)(column + k) * stride) * width, width);
        first += run;
        n -= run;
    }
}

int mr_torch_views_read(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    struct mr_torch_views *f = (struct mr_torch_views *)file;
    const struct mr_torch_view *view = &f->tree.views[i];
    const struct mr_pickled_tensor *t = view->tensor;
    size_t width = mr_dtype_block_bytes(file->tensors[i].dtype);
    if (is_contiguous(t))
        return f->read(f, view->entry, (uint64_t)t->offset * width + offset, size, to);
    MR_TRY(load_extent(f, i, t, width));
    uint8_t *out = to;
    while (size) { /* the first and the last element may be wanted in part */
        uint8_t element[8];
        size_t inside = (size_t)(offset % width), n = width - inside < size ? width - inside : size;
        if (inside || size < width) {
            gather(t, f->extent, width, offset / width, 1, element);
            memcpy(out, element + inside, n);
        } else {
            n = size / width * width;
            gather(t, f->extent, width, offset / width, n / width, out);
        }
        out += n;
        offset += n;
        size -= n;
    }
    return 0;
}

/* ---- what is found on opening ---- */

int mr_torch_views_add(struct mr_torch_views *f, size_t index)
{
    const struct mr_torch_view *view = &f->tree.views[index];
    const struct mr_pickled_tensor *t = view->tensor;
    const struct mr_pickled_storage *s = t->storage;
    size_t count, bytes;
    MR_TRY(mr_tensor_file_add(&f->base, view->name, strlen(view->name), s->dtype, t->ndim, t->shape, 0));
    MR_TRY(mr_file_tensor_size(&f->base.tensors[f->base.count - 1], &count, &bytes));
    /* a broadcast view may be larger than its storage, but not without limit */
    if (count > (size_t)s->count + MR_TORCH_BROADCAST)
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" repeats its %lld stored numbers %zu times", f->base.path,
                       view->name, (long long)s->count, s->count ? count / (size_t)s->count : count);
    return 0;
}

/* Tensors that see the same numbers in the same way share. */
static void find_shared(struct mr_torch_views *f)
{
    for (size_t i = 0; i < f->base.count; i++) {
        const struct mr_torch_view *view = &f->tree.views[i];
        int64_t *first = &f->tree.first_of_entry[view->entry];
        if (*first < 0) {
            *first = (int64_t)i;
            continue;
        }
        const struct mr_pickled_tensor *a = f->tree.views[*first].tensor, *b = view->tensor;
        bool same = a->ndim == b->ndim && a->offset == b->offset && a->storage->dtype == b->storage->dtype;
        for (int k = 0; same && k < a->ndim; k++)
            same = a->shape[k] == b->shape[k] && a->stride[k] == b->stride[k];
        if (same)
            f->base.tensors[i].shares = *first;
    }
}

/* Numbers without dimensions in the outermost dictionary also go into the metadata. */
static int add_numbers(struct mr_torch_views *f)
{
    for (size_t i = 0; i < f->base.count; i++) {
        const struct mr_file_tensor *t = &f->base.tensors[i];
        if (t->ndim || f->tree.views[i].depth != 1)
            continue;
        uint8_t raw[8];
        float x;
        double wide;
        MR_TRY(mr_tensor_file_read(&f->base, i, 0, mr_dtype_block_bytes(t->dtype), raw));
        mr_to_f32(t->dtype, raw, &x, 1);
        wide = x;
        if (t->dtype == MR_DTYPE_F64)
            memcpy(&wide, raw, 8);
        MR_TRY(mr_json_set(f->base.metadata, t->name, mr_json_real(wide)));
    }
    return 0;
}

int mr_torch_views_finish(struct mr_torch_views *f)
{
    find_shared(f);
    return add_numbers(f);
}

void mr_torch_views_free(struct mr_torch_views *f)
{
    mr_torch_tree_free(&f->tree);
    free(f->extent);
}
