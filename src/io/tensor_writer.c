/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/threads.h"
#include "io/tensor_file.h"

enum { PIECE = 1 << 18, SPAN = 1 << 14 }; /* elements converted at a time, and by one core */
enum { MOST_REPORTED = 10, MANY_VANISHED = 100 /* one in so many */ };

/* What a list of tensors must be so that it can be written. */
static int check(const struct mr_tensor_writer_format *format, const struct mr_file_tensor *list, size_t i)
{
    const struct mr_file_tensor *t = &list[i];
    size_t count, bytes, count2, bytes2;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    if (t->shares < 0)
        return 0;
    if (!format->can_share)
        return mr_fail(MR_EINVAL, "tensor \"%s\" cannot share its numbers with another in a %s file", t->name,
                       format->name);
    if ((size_t)t->shares >= i || list[t->shares].shares >= 0)
        return mr_fail(MR_EINVAL, "tensor \"%s\" shares its data with one that does not come before it", t->name);
    MR_TRY(mr_file_tensor_size(&list[t->shares], &count2, &bytes2));
    if (t->dtype != list[t->shares].dtype || count != count2)
        return mr_fail(MR_EINVAL, "tensors \"%s\" and \"%s\" cannot share: they differ", t->name, list[t->shares].name);
    return 0;
}

/* Names must be text, and none may occur twice. */
static int check_names(const struct mr_file_tensor *list, size_t count)
{
    static const struct mr_tensor_file_format none = {"list", NULL, NULL};
    mr_tensor_file *names;
    MR_TRY(mr_tensor_file_create(&names, sizeof *names, &none, "the list of tensors"));
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = mr_tensor_file_add(names, list[i].name, strlen(list[i].name), list[i].dtype, list[i].ndim, list[i].shape,
                                 0);
    mr_tensor_file_close(names);
    return err < 0 && err != MR_ENOMEM ? MR_EINVAL : err;
}

int mr_tensor_writer_create(mr_tensor_writer **result, size_t size, const struct mr_tensor_writer_format *format,
                            const char *path, const struct mr_file_tensor *tensors, size_t count)
{
    int err;
    mr_tensor_writer *w = mr_alloc(size, 1);
    if (!w)
        return MR_ENOMEM;
    w->format = format;
    w->path = mr_strdup(path);
    w->tensors = mr_alloc(count, sizeof *w->tensors);
    w->spare = mr_alloc(2 * PIECE, sizeof *w->spare);
    if (!w->path || !w->tensors || !w->spare) {
        err = MR_ENOMEM;
        goto fail;
    }
    for (; w->count < count; w->count++) {
        w->tensors[w->count] = tensors[w->count];
        if (!(w->tensors[w->count].name = mr_strdup(tensors[w->count].name))) {
            err = MR_ENOMEM;
            goto fail;
        }
    }
    err = check_names(tensors, count);
    for (size_t i = 0; i < count && !err; i++)
        err = check(format, tensors, i);
    if (err) {
        mr_fail_in(err, "%s cannot be written", path);
        goto fail;
    }
    MR_GO(mr_writer_open(&w->out, path));
    *result = w;
    return 0;
fail:
    mr_tensor_writer_abort(w);
    return err;
}

void mr_tensor_writer_abort(mr_tensor_writer *w)
{
    if (!w)
        return;
    mr_writer_discard(w->out);
    if (w->format->close)
        w->format->close(w);
    for (size_t i = 0; i < w->count; i++)
        free(w->tensors[i].name);
    free(w->tensors);
    free(w->spare);
    free(w->path);
    free(w);
}

static size_t bytes_of(const struct mr_file_tensor *t)
{
    size_t count, bytes;
    return mr_file_tensor_size(t, &count, &bytes) ? 0 : bytes; /* checked when the writer was made */
}

/* Goes on to the first tensor that still needs bytes, passing those that need none. */
static int advance(mr_tensor_writer *w)
{
    const struct mr_tensor_writer_format *f = w->format;
    while (w->current < w->count) {
        const struct mr_file_tensor *t = &w->tensors[w->current];
        if (t->shares < 0) {
            if (!w->done && f->begin_tensor)
                MR_TRY(f->begin_tensor(w, w->current));
            if (bytes_of(t))
                return 0;
            if (f->end_tensor)
                MR_TRY(f->end_tensor(w, w->current));
        }
        w->current++;
    }
    return 0;
}

int mr_tensor_writer_start(mr_tensor_writer *w)
{
    return w->error = advance(w);
}

/* Warns of what the current tensor has lost; of many tensors only how many. */
static void warn_of_losses(mr_tensor_writer *w)
{
    const struct mr_file_tensor *t = &w->tensors[w->current];
    const struct mr_fit *f = &w->fit;
    const char *dtype = mr_dtype_name(t->dtype);
    bool lost = f->beyond || f->vanished > f->nonzero / MANY_VANISHED;
    if (lost && w->reported++ >= MOST_REPORTED)
        w->unreported++;
    else if (lost && f->beyond)
        mr_log(MR_LOG_WARNING, "%s: %zu numbers up to %g are too large for %s and became its largest", t->name,
               f->beyond, (double)f->worst, dtype);
    else if (lost)
        mr_log(MR_LOG_WARNING, "%s: %zu of %zu numbers are too small for %s and became 0", t->name, f->vanished,
               f->nonzero, dtype);
    w->fit = (struct mr_fit){0};
}

static int append(mr_tensor_writer *w, const void *data, size_t size)
{
    size_t bytes = w->current < w->count ? bytes_of(&w->tensors[w->current]) : 0;
    if (size > bytes - w->done)
        return mr_fail(MR_EINVAL, "%s: %zu bytes are too many for \"%s\"", w->path, size,
                       w->current < w->count ? w->tensors[w->current].name : "the end");
    if (!size)
        return 0;
    MR_TRY(w->format->append(w, data, size));
    w->done += size;
    if (w->done < bytes)
        return 0;
    warn_of_losses(w);
    if (w->format->end_tensor)
        MR_TRY(w->format->end_tensor(w, w->current));
    w->current++;
    w->done = 0;
    return advance(w);
}

int mr_tensor_writer_append(mr_tensor_writer *w, const void *data, size_t size)
{
    if (!w->error)
        w->error = append(w, data, size);
    return w->error;
}

struct conversion {
    enum mr_dtype dtype;
    const float *from;
    uint8_t *to;
    size_t count;
    struct mr_fit fit[PIECE / SPAN];
};

static int convert_span(void *context, size_t i)
{
    struct conversion *c = context;
    size_t first = i * SPAN, n = c->count - first < SPAN ? c->count - first : SPAN;
    size_t at = first / mr_dtype_block(c->dtype) * mr_dtype_block_bytes(c->dtype);
    mr_fit_f32(c->dtype, c->from + first, n, &c->fit[i]);
    mr_from_f32(c->dtype, c->from + first, c->to + at, n);
    return 0;
}

/* Converts `n` <= PIECE numbers into w->spare. */
static int convert(mr_tensor_writer *w, const struct mr_file_tensor *t, const float *data, size_t n)
{
    size_t before = w->fit.beyond, spans = (n + SPAN - 1) / SPAN;
    struct conversion c = {.dtype = t->dtype, .from = data, .to = (uint8_t *)w->spare, .count = n};
    MR_TRY(mr_parallel_for(spans, convert_span, &c));
    for (size_t i = 0; i < spans; i++) {
        w->fit.nonzero += c.fit[i].nonzero;
        w->fit.beyond += c.fit[i].beyond;
        w->fit.vanished += c.fit[i].vanished;
        w->fit.worst = fmaxf(w->fit.worst, c.fit[i].worst);
    }
    if (w->fit.beyond == before)
        return 0;
    if (!w->saturate)
        return mr_fail(
            MR_EFILE,
            "%s: the tensor %s holds %g, which %s cannot: use --dtype f32 or bf16, or --saturate to write the "
            "largest number instead",
            w->path, t->name, (double)w->fit.worst, mr_dtype_name(t->dtype));
    float *clamped = w->spare + PIECE, most = mr_dtype_largest(t->dtype);
    for (size_t i = 0; i < n; i++)
        clamped[i] = isinf(data[i]) ? data[i] : fminf(fmaxf(data[i], -most), most);
    for (size_t i = 0; i < n; i++)
        clamped[i] = isnan(data[i]) ? data[i] : clamped[i];
    mr_from_f32(t->dtype, clamped, w->spare, n);
    return 0;
}

int mr_tensor_writer_append_f32(mr_tensor_writer *w, const float *data, size_t count)
{
    if (w->error || w->current >= w->count)
        return mr_tensor_writer_append(w, data, count);
    enum mr_dtype dtype = w->tensors[w->current].dtype;
    size_t block = mr_dtype_block(dtype), block_bytes = mr_dtype_block_bytes(dtype);
    if (count % block)
        return w->error = mr_fail(MR_EINVAL, "%s: %zu numbers are not whole blocks of \"%s\"", w->path, count,
                                  w->tensors[w->current].name);
    if (!mr_dtype_writes(dtype))
        return w->error = mr_fail(MR_EINVAL, "%s: floats cannot become %s, which \"%s\" is", w->path,
                                  mr_dtype_name(dtype), w->tensors[w->current].name);
    if (dtype == MR_DTYPE_F32)
        return mr_tensor_writer_append(w, data, count * 4);
    while (count) {
        size_t n = count < PIECE ? count : PIECE;
        if ((w->error = convert(w, &w->tensors[w->current], data, n)) < 0)
            return w->error;
        MR_TRY(mr_tensor_writer_append(w, w->spare, n / block * block_bytes));
        data += n;
        count -= n;
    }
    return 0;
}

int mr_tensor_writer_copy(mr_tensor_writer *w, mr_tensor_file *file, size_t i)
{
    if (w->error)
        return w->error;
    if (i >= file->count)
        return mr_fail(MR_EINVAL, "%s has no tensor %zu", file->path, i);
    size_t count, bytes, wanted, unused;
    MR_TRY(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
    if (!count) /* was passed when its turn came */
        return 0;
    if (w->current >= w->count || w->done)
        return mr_fail(MR_EINVAL, "%s: not the place for tensor %zu of %s", w->path, i, file->path);
    const struct mr_file_tensor *from = &file->tensors[i], *to = &w->tensors[w->current];
    MR_TRY(mr_file_tensor_size(to, &wanted, &unused));
    if (count != wanted)
        return mr_fail(MR_EINVAL, "%s: \"%s\" has %zu elements, \"%s\" %zu", w->path, to->name, wanted, from->name,
                       count);
    bool same = from->dtype == to->dtype;
    size_t total = same ? bytes : count, step = same ? PIECE * sizeof(float) : PIECE;
    float *piece = mr_alloc(PIECE, sizeof *piece);
    int err = piece ? 0 : MR_ENOMEM;
    for (size_t at = 0; at < total && !err; at += step) {
        size_t n = total - at < step ? total - at : step;
        if (same) {
            err = mr_tensor_file_read(file, i, at, n, piece);
            err = err ? err : mr_tensor_writer_append(w, piece, n);
        } else {
            err = mr_tensor_file_read_f32(file, i, at, n, piece);
            err = err ? err : mr_tensor_writer_append_f32(w, piece, n);
        }
    }
    free(piece);
    return err;
}

int mr_tensor_writer_finish(mr_tensor_writer *w)
{
    int err = w->error;
    if (w->unreported)
        mr_log(MR_LOG_WARNING, "%d more tensors lost numbers in the same ways", w->unreported);
    if (!err && w->current < w->count)
        err = mr_fail(MR_EINVAL, "%s: the numbers of \"%s\" are not complete", w->path, w->tensors[w->current].name);
    if (!err && w->format->finish)
        err = w->format->finish(w);
    if (!err) {
        err = mr_writer_commit(w->out);
        w->out = NULL;
    }
    mr_tensor_writer_abort(w);
    return err;
}
