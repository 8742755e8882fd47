/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/info.h"

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

static int measure(mr_tensor_file *file, size_t i, float *room, struct statistics *s)
{
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
    for (size_t at = 0; at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        MR_TRY(mr_tensor_file_read_f32(file, i, at, n, room));
        add(s, room, n);
    }
    return 0;
}

static json_t *row(const struct mr_file_tensor *t, const struct statistics *s)
{
    json_t *shape = json_array();
    for (int d = 0; shape && d < t->ndim; d++)
        mr_json_push(&shape, json_integer(t->shape[d]));
    double n = (double)s->finite, mean = s->sum / n, variance = s->squares / n - mean * mean;
    json_t *object = json_pack("{ss ss so}", "name", t->name, "dtype", mr_dtype_name(t->dtype), "shape", shape);
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"min", s->low}, {"max", s->high}, {"mean", s->origin + mean}, {"std", variance > 0 ? sqrt(variance) : 0}};
    for (size_t i = 0; object && i < MR_COUNT(numbers); i++)
        mr_json_put(&object, numbers[i].key, s->finite ? json_real(numbers[i].value) : json_null());
    mr_json_put(&object, "nan", json_integer((json_int_t)s->nans));
    mr_json_put(&object, "inf", json_integer((json_int_t)s->infinite));
    return object;
}

int mr_info_tensors(mr_tensor_file *file, json_t **out)
{
    struct mr_progress bar;
    float *room = mr_alloc(PIECE, sizeof *room);
    json_t *list = json_array();
    int err = room && list ? 0 : mr_fail(MR_ENOMEM, "out of memory: the tensors cannot be listed");
    mr_progress_begin(&bar, stderr, "reading", file->count);
    for (size_t i = 0; !err && i < file->count; i++) {
        struct statistics s = {0};
        err = measure(file, i, room, &s);
        if (!err)
            err = mr_json_append(list, row(&file->tensors[i], &s));
        mr_progress_update(&bar, i + 1, NULL);
    }
    mr_progress_end(&bar);
    free(room);
    if (err)
        json_decref(list);
    else
        *out = list;
    return err;
}
