/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>

#include "api/info_tensors.h"
#include "base/alloc.h"
#include "base/error.h"

#define PIECE ((size_t)1 << 18) /* numbers at a time; whole blocks */

/* Sums are taken from the first finite number on as origin, so that a small spread far from 0 keeps its digits. */
struct statistics {
    double low, high, origin, sum, squares;
    uint64_t finite, nans, infinite;
};

static void add(struct statistics *s, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double v = (double)x[i];
        if (isnan(v)) {
            s->nans++;
        } else if (isinf(v)) {
            s->infinite++;
        } else {
            if (!s->finite++)
                s->low = s->high = s->origin = v;
            s->low = v < s->low ? v : s->low;
            s->high = v > s->high ? v : s->high;
            s->sum += v - s->origin;
            s->squares += (v - s->origin) * (v - s->origin);
        }
    }
}

static int measure(mr_tensor_file *file, size_t i, float *buffer, struct statistics *s)
{
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
    for (size_t at = 0; at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        MR_TRY(mr_tensor_file_read_f32(file, i, at, n, buffer));
        add(s, buffer, n);
    }
    return 0;
}

static int describe(const struct mr_file_tensor *t, const struct statistics *s, struct mr_info_tensor *to)
{
    double n = (double)s->finite, mean = s->sum / n, variance = s->squares / n - mean * mean;
    *to = (struct mr_info_tensor){.name = mr_strdup(t->name),
                                  .dtype = mr_dtype_name(t->dtype),
                                  .ndim = t->ndim,
                                  .finite = s->finite,
                                  .nans = s->nans,
                                  .infinite = s->infinite};
    for (int d = 0; d < t->ndim; d++)
        to->shape[d] = t->shape[d];
    if (s->finite) {
        to->min = s->low;
        to->max = s->high;
        to->mean = s->origin + mean;
        to->std = variance > 0 ? sqrt(variance) : 0;
    }
    return to->name ? 0 : MR_ENOMEM;
}

int mr_info_tensors(mr_tensor_file *file, const struct mr_info_options *options, struct mr_info *info)
{
    float *buffer = mr_alloc(PIECE, sizeof *buffer);
    info->tensors = mr_alloc(file->count, sizeof *info->tensors);
    int err = buffer && info->tensors ? 0 : MR_ENOMEM;
    for (size_t i = 0; !err && i < file->count; i++) {
        struct statistics s = {0};
        err = measure(file, i, buffer, &s);
        if (!err)
            err = describe(&file->tensors[i], &s, &info->tensors[i]);
        if (options->progress)
            options->progress(options->context, i + 1, file->count);
    }
    free(buffer);
    return err;
}
